// Who may do what: strangers, forged senders, owners.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, call, evaluate, moduleOf, peek, send, signer, spawn } from '../lib/ao.mjs'
import { strangeId, tag } from '../lib/items.mjs'
import { identity } from '../lib/node.mjs'

const till = 'Balance = 0 Handlers.add("Pay", "Pay", function (msg) Balance = Balance + 1 Payer = msg.From end)'

test('a stranger\'s From-Process has no effect', async () => {
  const [process, pretended] = [await spawn(), await spawn()]
  await evaluate(process, till)
  const message = await send(process, { action: 'Pay', tags: [tag('From-Process', pretended)], from: 'bob' })
  assert.deepEqual((await ao.result({ process, message })).Messages, [])
  assert.equal(await peek(process, 'Balance'), '0')
})

test('the same from the messenger counts, and only for those who trust it', async () => {
  const [payer, trusting, wary] = [await spawn(), await spawn(), await spawn({ trust: false })]
  await evaluate(trusting, till)
  await evaluate(wary, till)
  await evaluate(payer, `Send({ Target = "${wary}", Action = "Pay" }) Send({ Target = "${trusting}", Action = "Pay" })`)
  const { until } = await import('../lib/node.mjs')
  const { schedule } = await import('../lib/schedule.mjs')
  await until('both got it', async () => (await schedule(wary)).length === 3 && (await schedule(trusting)).length === 3)
  await until('the trusting one is paid', async () => await peek(trusting, 'Balance') === '1')
  assert.equal(await peek(trusting, 'Payer'), payer)
  const { node } = (await schedule(wary)).at(-1)
  await ao.result({ process: wary, message: node.message.id })
  assert.equal(await peek(wary, 'Balance'), '0')
})

test('tags From and Owner do not shadow the real ones', async () => {
  const process = await spawn()
  await evaluate(process, till)
  await call(process, { action: 'Pay', tags: [tag('From', strangeId('a')), tag('Owner', strangeId('b'))] })
  assert.equal(await peek(process, 'Payer == Owner and #Payer'), '43')
})

test('only the owner may Eval', async () => {
  const process = await spawn()
  await evaluate(process, 'Safe = "yes"')
  await call(process, { action: 'Eval', data: 'Safe = "no"', from: 'bob' })
  assert.equal(await peek(process, 'Safe'), 'yes')
})

test('a child spawned by a stranger\'s forged From-Process belongs to nobody else', async () => {
  const victim = await spawn()
  const { scheduler } = await identity()
  const child = await ao.spawn({ module: await moduleOf(), scheduler, signer: signer('bob'), tags: [tag('From-Process', victim)] })
  await evaluate(victim, 'Own = 1')
  const parentBefore = await peek(victim, 'Own')
  assert.equal(parentBefore, '1')
  assert.notEqual(child, victim)
})
