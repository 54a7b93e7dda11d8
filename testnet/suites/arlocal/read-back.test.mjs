// What the pipeline brought to arlocal, read back by the stock libraries: `arweave` gets transactions and their data, `arbundles` opens
// bundles and verifies every item. AO_EXPECTED names a file that says what there should be.
import { before, test } from 'node:test'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import arweaveModule from 'arweave'
import { Bundle } from 'arbundles'

const NODE = process.env.AO_NODE
const Arweave = arweaveModule.default ?? arweaveModule
const { protocol, hostname: host, port } = new URL(NODE)
const arweave = Arweave.init({ protocol: protocol.replace(':', ''), host, port })
// [{ transaction, network, items: [{ id, sha256 }] }]: SHA-256 of each item's data, hexadecimal
const expected = JSON.parse(readFileSync(process.env.AO_EXPECTED, 'utf8'))
const sha256 = bytes => createHash('sha256').update(bytes).digest('hex')

async function found (variables) {
  const query = `query ($ids: [ID!], $tags: [TagFilter!]) {
    transactions(ids: $ids, tags: $tags, first: 100) { edges { node { id block { height } tags { name value } } } } }`
  const answer = await fetch(NODE + '/graphql', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query, variables })
  })
  const { data } = await answer.json()
  return data.transactions.edges.map(edge => edge.node)
}

before(() => assert.ok(expected.length > 0 && expected.every(({ items }) => items.length > 0), 'something is expected'))

test('every transaction is in a block, signed, and found by the network', async () => {
  for (const { transaction, network } of expected) {
    const status = await arweave.transactions.getStatus(transaction)
    assert.equal(status.status, 200)
    assert.ok(status.confirmed.block_height > 0)
    const tx = await arweave.transactions.get(transaction)
    assert.ok(await arweave.transactions.verify(tx))
    const mined = (await found({ tags: [{ name: 'AO-Network', values: [network] }, { name: 'App-Name', values: ['aonode'] }] }))
      .filter(node => node.block !== null).map(node => node.id)
    assert.ok(mined.includes(transaction), `${transaction} is not among ${mined}`)
  }
})

test('every bundle is read back, and every item in it verifies', async () => {
  for (const { transaction, items } of expected) {
    const data = await arweave.transactions.getData(transaction, { decode: true })
    const bundle = new Bundle(Buffer.from(data))
    assert.equal(await bundle.verify(), true)
    assert.deepEqual(bundle.items.map((_, at) => bundle.get(at).id), items.map(({ id }) => id))
    for (const [at, item] of bundle.items.entries()) {
      assert.equal(await item.isValid(), true, items[at].id)
      assert.equal(sha256(item.rawData), items[at].sha256, items[at].id)
    }
  }
})

test('every item is found by its id, in a block, with its data', async () => {
  for (const { items } of expected) {
    for (let at = 0; at < items.length; at += 50) {
      const some = items.slice(at, at + 50)
      const nodes = (await found({ ids: some.map(({ id }) => id) })).filter(node => node.block !== null)
      assert.deepEqual(nodes.map(node => node.id).sort(), some.map(({ id }) => id).sort())
    }
    for (const { id, sha256: hash } of items) {
      const answer = await fetch(`${NODE}/${id}`, { redirect: 'follow' })
      // Assignments have no data: arlocal has no other word for that.
      assert.equal(answer.status, hash === sha256('') ? 204 : 200, id)
      assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), hash, id)
    }
  }
})
