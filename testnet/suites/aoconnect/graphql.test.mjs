// The GraphQL forms that AO clients send to a gateway, and the data routes beside it.
import { before, test } from 'node:test'
import assert from 'node:assert/strict'
import { moduleOf, send, spawn } from '../lib/ao.mjs'
import { item, strangeId, tag } from '../lib/items.mjs'
import { NODE, ask, graphql, identity, postItem, postJson } from '../lib/node.mjs'
import { valueOf } from '../lib/schedule.mjs'
import { addressOf, jwk } from '../lib/wallets.mjs'

const name = 'graphql suite ' + process.pid
let pid
let message
before(async () => {
  pid = await spawn({ tags: [tag('Name', name)] })
  message = await send(pid, { action: 'Indexed', data: 'seen by the gateway' })
})

test('by ids: what aoconnect asks of a module before it spawns', async () => {
  const module = await moduleOf()
  const { transactions } = await graphql(`query GetTransactions ($transactionIds: [ID!]!) {
    transactions(ids: $transactionIds) { edges { node { owner { address } tags { name value } block { id height timestamp } } } } }`, { transactionIds: [module] })
  const { tags, owner } = transactions.edges[0].node
  assert.equal(valueOf(tags, 'Data-Protocol'), 'ao')
  assert.equal(valueOf(tags, 'Type'), 'Module')
  for (const each of ['Module-Format', 'Input-Encoding', 'Output-Encoding']) assert.ok(valueOf(tags, each), each)
  assert.equal(typeof owner.address, 'string')
})

test('by ids with a directive: an item as soon as it is accepted', async () => {
  const query = `query ($id: ID!, $skip: Boolean!) { transactions(ids: [$id]) { edges { node {
    id owner @skip(if: $skip) { address key } tags { name value } recipient anchor signature block { height } } cursor } pageInfo { hasNextPage } } }`
  const { transactions: { edges, pageInfo } } = await graphql(query, { id: message, skip: false })
  assert.equal(edges[0].node.id, message)
  assert.equal(edges[0].node.recipient, pid)
  assert.deepEqual(edges[0].node.owner, { address: addressOf(jwk('alice')), key: jwk('alice').n })
  assert.equal(pageInfo.hasNextPage, false)
  const skipped = await graphql(query, { id: message, skip: true })
  assert.equal('owner' in skipped.transactions.edges[0].node, false)
})

test('every item is in a block of the embedded chain, and found by its bounds', async () => {
  const ask = (bounds) => graphql(`{ transactions(ids: ["${message}"] ${bounds}) { edges { node { block { id height timestamp } } } } }`)
  const { block } = (await ask('')).transactions.edges[0].node
  assert.match(block.id, /^[\w-]{64}$/)
  assert.ok(Math.abs(block.timestamp * 1000 - Date.now()) < 3_600_000)
  assert.equal((await ask(`block: { min: ${block.height}, max: ${block.height} }`)).transactions.edges.length, 1)
  assert.deepEqual((await ask(`block: { min: ${block.height + 1} }`)).transactions.edges, [])
  assert.deepEqual((await ask(`block: { max: ${block.height - 1} }`)).transactions.edges, [])
})

test('by ids plus tag: the scheduler look-up', async () => {
  const query = `query ($ids: [ID!]!) { transactions(ids: $ids, tags: [{ name: "Data-Protocol", values: ["ao"] }]) { edges { node { tags { name value } } } } }`
  const { transactions } = await graphql(query, { ids: [pid] })
  assert.equal(valueOf(transactions.edges[0].node.tags, 'Scheduler'), (await identity()).scheduler)
})

test('Scheduler-Location: the node publishes its own, newest first', async () => {
  const { scheduler } = await identity()
  const { transactions } = await graphql(`query ($owner: String!) { transactions(owners: [$owner], first: 1, sort: HEIGHT_DESC,
    tags: [{ name: "Data-Protocol", values: ["ao"] }, { name: "Type", values: ["Scheduler-Location"] }]) { edges { node { tags { name value } } } } }`, { owner: scheduler })
  const { tags } = transactions.edges[0].node
  assert.match(valueOf(tags, 'Url'), /^https?:\/\//)
  assert.match(valueOf(tags, 'Time-To-Live'), /^\d+$/)
})

test('what aos asks: a process by owner and name, with an empty second owner', async () => {
  const { transactions } = await graphql(`query ($owners: [String!]!, $names: [String!]!) { transactions(first: 10, owners: $owners,
    tags: [{ name: "Data-Protocol", values: ["ao"] }, { name: "Type", values: ["Process"] }, { name: "Name", values: $names }]) { edges { node { id } } } }`,
  { owners: [addressOf(jwk('alice')), ''], names: [name] })
  assert.deepEqual(transactions.edges, [{ node: { id: pid } }])
})

test('literals in the text instead of variables; several values; fragments and aliases', async () => {
  const { found } = await graphql(`{ found: transactions(owners: ["${addressOf(jwk('alice'))}"], tags: [{ name: "Name", values: ["nobody", "${name}"] }]) {
    edges { node { ...short } } } } fragment short on Transaction { key: id }`)
  assert.deepEqual(found.edges, [{ node: { key: pid } }])
})

test('tags are all required; a wrong value finds nothing', async () => {
  const { transactions } = await graphql(`{ transactions(tags: [{ name: "Name", values: ["${name}"] }, { name: "Type", values: ["Message"] }]) { edges { node { id } } } }`)
  assert.deepEqual(transactions.edges, [])
})

test('recipients, order and pages', async () => {
  const more = [message]
  for (let n = 0; n < 4; n++) more.push(await send(pid, { action: 'More' }))
  const query = 'query ($r: [String!]!, $after: String, $sort: SortOrder) { transactions(recipients: $r, first: 2, after: $after, sort: $sort) { edges { cursor node { id } } pageInfo { hasNextPage } } }'
  for (const [sort, expected] of [['HEIGHT_ASC', more], ['HEIGHT_DESC', [...more].reverse()]]) {
    const found = []
    let after
    for (;;) {
      const { transactions: { edges, pageInfo } } = await graphql(query, { r: [pid], after, sort })
      found.push(...edges.map(edge => edge.node.id))
      if (!pageInfo.hasNextPage) break
      after = edges.at(-1).cursor
    }
    assert.deepEqual(found, expected, sort)
  }
})

test('transaction(id), and null for what is not there', async () => {
  const { transaction, nothing } = await graphql(`{ transaction(id: "${pid}") { id tags { name } } nothing: transaction(id: "${strangeId('t')}") { id } }`)
  assert.equal(transaction.id, pid)
  assert.equal(nothing, null)
})

test('queries that are none: errors as GraphQL has them, in JSON', async () => {
  for (const body of [{ query: '{ nonsense' }, { query: '{ unknownField }' }, { query: '' }, {}, { query: '{ transactions(first: "many") { edges { node { id } } } }' }]) {
    const { json, status, text } = await postJson('/graphql', body)
    assert.ok(json, `JSON: ${status} ${text}`)
    assert.ok(Array.isArray(json.errors) || typeof json.error === 'string', text)
  }
  const deep = '{ transactions ' + '{ edges { node '.repeat(2000) + '{ id } ' + '} }'.repeat(2000) + '}'
  const { json, status } = await postJson('/graphql', { query: deep })
  assert.ok(json && status < 500)
})

test('data of an item: raw, plain, HEAD; 404 for none', async () => {
  assert.equal((await ask(`/raw/${message}`)).text, 'seen by the gateway')
  assert.equal((await ask(`/${message}`)).text, 'seen by the gateway')
  const head = await fetch(`${NODE}/${message}`, { method: 'HEAD' })
  assert.equal(head.status, 200)
  assert.equal(head.headers.get('content-length'), String('seen by the gateway'.length))
  assert.equal((await ask(`/raw/${strangeId('r')}`)).status, 404)
})

test('upload: any item, indexed at once', async () => {
  const { id, raw } = await item({ data: '<p>hello</p>', tags: [tag('Content-Type', 'text/html'), tag('App', name)] })
  const { status, json } = await postItem(raw, '/tx')
  assert.equal(status, 200)
  assert.equal(json.id, id)
  const response = await fetch(`${NODE}/raw/${id}`)
  assert.equal(response.headers.get('content-type').split(';')[0], 'text/html')
  assert.equal(await response.text(), '<p>hello</p>')
  const { transactions } = await graphql(`{ transactions(tags: [{ name: "App", values: ["${name}"] }]) { edges { node { id } } } }`)
  assert.deepEqual(transactions.edges, [{ node: { id } }])
  raw[raw.length - 1] ^= 1
  assert.ok((await postItem(raw, '/tx')).status >= 400)
})

test('network information', async () => {
  const { json } = await ask('/info')
  assert.equal(typeof json.height, 'number')
  const status = await ask(`/tx/${message}/status`)
  assert.equal(status.status, 200)
  assert.ok(status.json.block_height <= (await ask('/info')).json.height && status.json.number_of_confirmations >= 1)
  assert.ok((await ask(`/tx/${strangeId('s')}/status`)).status >= 400)
})
