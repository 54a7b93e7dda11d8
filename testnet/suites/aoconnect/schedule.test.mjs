// Reading schedules, and what the scheduler says about itself.
import { before, test } from 'node:test'
import assert from 'node:assert/strict'
import { send, spawn } from '../lib/ao.mjs'
import { strangeId, tag } from '../lib/items.mjs'
import { ask, assertRefused, identity } from '../lib/node.mjs'
import { assertChain, schedule, valueOf } from '../lib/schedule.mjs'

const COUNT = 9
let process
let edges
const nonces = page => page.edges.map(edge => Number(valueOf(edge.node.assignment.tags, 'Nonce')))
const page = async query => {
  const { status, json, text } = await ask(`/${process}?process-id=${process}&${query}`)
  assert.equal(status, 200, text)
  return json
}

before(async () => {
  process = await spawn()
  for (let n = 1; n <= COUNT; n++) await send(process, { action: 'N', tags: [tag('N', String(n))], data: `data ${n}` })
  edges = await schedule(process)
})

test('the whole schedule on one page, with a hash chain that holds', async () => {
  const whole = await page('')
  assert.equal(whole.page_info.has_next_page, false)
  assert.deepEqual(nonces(whole), [...Array(COUNT + 1).keys()])
  assertChain(process, whole.edges)
})

test('pages by nonce: from exclusive, to inclusive, -1 is before the first', async () => {
  assert.deepEqual(nonces(await page('from-nonce=-1&to-nonce=2')), [0, 1, 2])
  assert.deepEqual(nonces(await page('from-nonce=3&to-nonce=6')), [4, 5, 6])
  assert.deepEqual(nonces(await page(`from-nonce=${COUNT}`)), [])
  const first = await page('from-nonce=-1&limit=4')
  assert.equal(first.page_info.has_next_page, true)
  assert.deepEqual(first.edges.map(edge => edge.cursor), ['0', '1', '2', '3'])
})

test('pages by timestamp: from exclusive, to inclusive; the cursor is the timestamp', async () => {
  const whole = await page('')
  const [second, fifth] = [whole.edges[2].cursor, whole.edges[5].cursor]
  assert.match(second, /^\d{13}$/)
  assert.equal(second, valueOf(whole.edges[2].node.assignment.tags, 'Timestamp'))
  assert.deepEqual(nonces(await page(`from=${second}&to=${fifth}`)), [3, 4, 5])
  assert.deepEqual(nonces(await page(`to=${second}`)), [0, 1, 2])
})

test('pages of every size give the same whole', async () => {
  for (const limit of [1, 3, COUNT, COUNT + 1, 1000]) assert.deepEqual(await schedule(process, limit), edges)
})

test('one node: by message, by assignment, the newest', async () => {
  const { message, assignment } = edges[4].node
  assert.deepEqual((await ask(`/${message.id}?process-id=${process}`)).json, edges[4].node)
  assert.deepEqual((await ask(`/${assignment.id}?process-id=${process}`)).json, edges[4].node)
  assert.deepEqual((await ask(`/${process}/latest`)).json, edges[COUNT].node)
  assertRefused(await ask(`/${strangeId('m')}?process-id=${process}`))
  assertRefused(await ask(`/${strangeId('p')}/latest`))
})

test('assignments are signed by the scheduler that the node names', async () => {
  const { scheduler } = await identity()
  for (const { node } of edges) {
    assert.equal(node.assignment.owner.address, scheduler)
    assert.equal(valueOf(node.assignment.tags, 'Epoch'), '0')
    assert.equal(node.assignment.target, '')
    assert.equal(node.assignment.anchor, null)
  }
})

test('bounds that are none are refused as JSON', async () => {
  for (const query of ['from-nonce=x', 'limit=0x10', 'limit=-5', 'to=yesterday', 'from-nonce=1&from=2']) {
    const answer = await ask(`/${process}?process-id=${process}&${query}`)
    if (query.includes('&')) assert.ok(answer.json, 'both bounds at once: an answer or a refusal, in JSON')
    else assertRefused(answer, { status: 400 })
  }
})

test('GET /: one object that satisfies scheduler, compute and messenger clients', async () => {
  for (const path of ['/', `/?process-id=${process}`]) {
    const { status, json } = await ask(path)
    assert.equal(status, 200)
    assert.equal(json.address, (await identity()).scheduler)
    assert.ok(/^\d{13}$/.test(String(json.timestamp)))
  }
  assert.equal(typeof (await ask('/su/')).json.timestamp, 'string')
  assert.equal(typeof (await ask('/cu/')).json.timestamp, 'number')
})

test('GET /timestamp: two texts, the height with 12 digits', async () => {
  for (const path of ['/timestamp', `/timestamp?process-id=${process}`, '/su/timestamp']) {
    const { json } = await ask(path)
    assert.match(json.timestamp, /^\d{13}$/)
    assert.match(json.block_height, /^\d{12}$/)
  }
})

test('the prefixed units read the same schedule', async () => {
  for (const path of ['/su']) {
    const { json } = await ask(`${path}/${process}?process-id=${process}&from-nonce=-1`)
    assert.deepEqual(json.edges.map(edge => edge.node), edges.map(edge => edge.node))
  }
})
