// The calls of aoconnect that first look for the scheduler under a fixed public name. The node cannot be that host, but it can stand
// behind it: these tests enter it in a table as an operator would in a hosts file or proxy, and check that all the rest works.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { send, signer, spawn } from '../lib/ao.mjs'
import { tag } from '../lib/items.mjs'
import { NODE } from '../lib/node.mjs'

const fixed = 'https://su-router.ao-testnet.xyz'
const direct = globalThis.fetch
let ao
before(async () => {
  globalThis.fetch = (url, options) => direct(String(url).startsWith(fixed) ? NODE + '/' + String(url).slice(fixed.length).replace(/^\//, '') : url, options)
  const { connect } = await import('@permaweb/aoconnect')
  ao = connect({ MODE: 'legacy', MU_URL: NODE, CU_URL: NODE, GATEWAY_URL: NODE, GRAPHQL_URL: NODE + '/graphql' })
})
after(() => { globalThis.fetch = direct })

test('getLastSlot, getMessageById, getMessages', async () => {
  const process = await spawn()
  const first = await send(process, { action: 'A', tags: [tag('N', '1')] })
  await send(process, { action: 'A', tags: [tag('N', '2')] })
  assert.equal(Number(await ao.getLastSlot({ processId: process })), 2)
  const found = await ao.getMessageById({ processId: process, messageId: first })
  assert.equal((found.message ?? found).id, first)
  const { edges } = await ao.getMessages({ processId: process, from: 0, to: 4_102_444_800_000, limit: 10 })
  assert.equal(edges.length, 3)
})

test('returnAssignmentSlot', async () => {
  const process = await spawn()
  const sent = await ao.message({ process, signer: signer(), tags: [tag('Action', 'A')], returnAssignmentSlot: true })
  assert.equal(String(sent.assignmentSlot ?? sent.slot ?? sent), '1')
})
