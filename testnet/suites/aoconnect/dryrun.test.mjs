// Dry runs: on the newest state, without a trace.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, evaluate, peek, send, spawn, textOf } from '../lib/ao.mjs'
import { strangeId, tag } from '../lib/items.mjs'
import { assertRefused, postJson, until } from '../lib/node.mjs'
import { schedule } from '../lib/schedule.mjs'
import { addressOf, jwk } from '../lib/wallets.mjs'

const alice = () => addressOf(jwk('alice'))

test('dryrun: sees the newest state and changes nothing', async () => {
  const process = await spawn()
  await evaluate(process, 'Count = 5')
  for (let n = 0; n < 3; n++) {
    const answer = await ao.dryrun({ process, Owner: alice(), tags: [tag('Action', 'Eval')], data: 'Count = Count + 1 return Count' })
    assert.equal(textOf(answer), '6')
  }
  assert.equal(textOf(await evaluate(process, 'Count')), '5')
  assert.equal((await schedule(process)).length, 3)
  assert.equal((await ao.results({ process })).edges.length, 3)
})

test('dryrun: a handler answers a stranger, nothing is sent', async () => {
  const [process, other] = [await spawn(), await spawn()]
  await evaluate(process, `Handlers.add("Info", "Info", function (msg) msg.reply({ Data = "it is " .. Name }) Send({ Target = "${other}", Action = "X" }) end) Name = "N"`)
  const answer = await ao.dryrun({ process, tags: [tag('Action', 'Info')] })
  assert.equal(answer.Messages[0].Data, 'it is N')
  assert.equal(answer.Messages[0].Target, '1234')
  assert.equal(answer.Messages.length, 2)
  await evaluate(other, '1')
  assert.equal((await schedule(other)).length, 2)
})

test('dryrun: the message is read-only, not cron, and carries the caller\'s fields', async () => {
  const process = await spawn()
  await evaluate(process, `Handlers.add("Show", "Show", function (msg)
    print(table.concat({ tostring(msg["Read-Only"]), tostring(msg.Cron), msg.From, msg.Id, msg.Target, msg.Data, msg.Note }, " "))
  end)`)
  const answer = await ao.dryrun({ process, Id: strangeId('id'), Owner: alice(), tags: [tag('Action', 'Show'), tag('Note', 'n')], data: 'd' })
  assert.equal(textOf(answer), `true false ${alice()} ${strangeId('id')} ${process} d n`)
})

test('dryrun: an error is a result', async () => {
  const process = await spawn()
  const answer = await ao.dryrun({ process, Owner: alice(), tags: [tag('Action', 'Eval')], data: 'error("dry boom")' })
  assert.match(answer.Error, /dry boom/)
  assert.equal(await peek(process, '1'), '1')
})

test('dryrun: right after a message it sees what that did', async () => {
  const process = await spawn()
  await evaluate(process, 'N = 0')
  for (let n = 1; n <= 5; n++) {
    const message = await send(process, { action: 'Eval', data: 'N = N + 1' })
    await ao.result({ process, message })
    assert.equal(await peek(process, 'N'), String(n))
  }
})

test('dryrun: many at once beside messages; the log is not held up', async () => {
  const process = await spawn()
  await evaluate(process, 'N = 0')
  const dry = Array.from({ length: 20 }, () => ao.dryrun({ process, Owner: alice(), tags: [tag('Action', 'Eval')], data: 'N = N + 100 return N' }))
  const sent = []
  for (let n = 0; n < 5; n++) sent.push(await send(process, { action: 'Eval', data: 'N = N + 1 return N' }))
  const values = []
  for (const message of sent) values.push(textOf(await ao.result({ process, message })))
  assert.deepEqual(values, ['1', '2', '3', '4', '5'])
  for (const answer of await Promise.all(dry)) {
    if (answer.error) continue // refused as too many at once: a clear no, not a wrong value
    const value = Number(textOf(answer))
    assert.ok(value >= 100 && value <= 105, `a dry run saw ${value}`)
  }
})

test('dryrun: bodies that are none, and unknown processes, are refused as JSON', async () => {
  const process = await spawn()
  assertRefused(await postJson(`/dry-run?process-id=${strangeId('process')}`, { Tags: [] }), { status: 404 })
  assertRefused(await postJson('/dry-run', { Tags: [] }))
  assertRefused(await postJson(`/dry-run?process-id=${process}`, { Tags: 'none' }), { status: [400, 422] })
  assertRefused(await postJson(`/dry-run?process-id=${process}`, [1]), { status: [400, 422] })
})

test('dryrun: at an earlier message', async () => {
  const process = await spawn()
  const sent = []
  for (let n = 1; n <= 3; n++) sent.push(await send(process, { action: 'Eval', data: `V = ${n}` }))
  await until('the last result', async () => (await ao.result({ process, message: sent[2] })).Output)
  const body = { Target: process, Owner: alice(), Tags: [tag('Action', 'Eval')], Data: 'return V' }
  const { json } = await postJson(`/dry-run?process-id=${process}&to=${sent[0]}`, body)
  assert.equal(textOf(json), '1')
})
