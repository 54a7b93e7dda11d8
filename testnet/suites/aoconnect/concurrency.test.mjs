// Many at once.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, evaluate, peek, send, spawn, textOf } from '../lib/ao.mjs'
import { messageItem, tag } from '../lib/items.mjs'
import { ask, postItem } from '../lib/node.mjs'
import { assertChain, schedule, valueOf } from '../lib/schedule.mjs'

test('50 messages at once: nonces without gap, one unbroken chain, each evaluated once', async () => {
  const process = await spawn()
  await evaluate(process, 'Count = 0 Handlers.add("Add", "Add", function (msg) Count = Count + 1 print(Count) end)')
  const ids = await Promise.all(Array.from({ length: 50 }, (_, n) => send(process, { action: 'Add', tags: [tag('N', String(n))] })))
  const results = await Promise.all(ids.map(message => ao.result({ process, message })))
  const edges = await schedule(process, 7)
  assert.equal(edges.length, 52)
  const seen = assertChain(process, edges)
  for (const id of ids) assert.ok(seen.has(id))
  assert.equal(await peek(process, 'Count'), '50')
  // each saw the count of its own slot
  const slots = new Map(edges.map(({ node }) => [node.message.id, Number(valueOf(node.assignment.tags, 'Nonce'))]))
  results.forEach((result, n) => assert.equal(textOf(result), String(slots.get(ids[n]) - 1)))
})

test('one item posted 20 times at once gets one slot', async () => {
  const process = await spawn()
  const { raw } = await messageItem({ target: process })
  const answers = await Promise.all(Array.from({ length: 20 }, () => postItem(raw)))
  assert.equal(answers.filter(answer => answer.status === 202).length, 1, answers.map(answer => answer.status).join(' '))
  const edges = await schedule(process)
  assertChain(process, edges)
  assert.equal(edges.length, 2)
})

test('one result asked 20 times at once, while the process boots: one answer', async () => {
  const process = await spawn({ tags: [tag('On-Boot', 'Data')], data: 'X = 1' })
  const message = await send(process, { action: 'Eval', data: 'X + 1' })
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(`/result/${message}?process-id=${process}`)))
  assert.equal(new Set(answers.map(answer => answer.text)).size, 1)
  assert.equal(textOf(answers[0].json), '2')
})

test('10 processes with 10 messages each, all at once', async () => {
  const processes = await Promise.all(Array.from({ length: 10 }, () => spawn()))
  await Promise.all(processes.map(process => evaluate(process, 'Sum = 0 Handlers.add("Add", "Add", function (msg) Sum = Sum + tonumber(msg.Value) end)')))
  await Promise.all(processes.flatMap((process, p) =>
    Array.from({ length: 10 }, () => send(process, { action: 'Add', tags: [tag('Value', String(p))] }))))
  await Promise.all(processes.map(async (process, p) => {
    const edges = await schedule(process)
    assertChain(process, edges)
    assert.equal(edges.length, 12)
    await ao.result({ process, message: edges.at(-1).node.message.id })
    assert.equal(await peek(process, 'Sum'), String(10 * p))
  }))
})
