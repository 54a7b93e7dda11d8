// The calls of aoconnect that first ask a fixed public name where a process is scheduled.
import '../lib/router.mjs'
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, send, signer, spawn } from '../lib/ao.mjs'
import { tag } from '../lib/items.mjs'

test('getLastSlot, getMessageById, getMessages', async () => {
  const process = await spawn()
  const first = await send(process, { action: 'A', tags: [tag('N', '1')] })
  await send(process, { action: 'A', tags: [tag('N', '2')] })
  assert.equal(Number(await ao.getLastSlot({ processId: process })), 2)
  const found = await ao.getMessageById({ processId: process, messageId: first })
  assert.equal((found.message ?? found).id, first)
  const { edges } = await ao.getMessages({ processId: process, from: '0', to: '4102444800000', limit: '10' })
  assert.equal(edges.length, 3)
})

test('returnAssignmentSlot', async () => {
  const process = await spawn()
  const sent = await ao.message({ process, signer: signer(), tags: [tag('Action', 'A')], returnAssignmentSlot: true })
  assert.equal(String(sent.assignmentSlot ?? sent.slot ?? sent), '1')
})
