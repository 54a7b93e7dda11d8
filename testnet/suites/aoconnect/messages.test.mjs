// Messages and their results.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, call, evaluate, peek, send, signer, spawn, textOf } from '../lib/ao.mjs'
import { messageItem, strangeId, tag } from '../lib/items.mjs'
import { ask, assertRefused, postItem } from '../lib/node.mjs'
import { schedule, valueOf } from '../lib/schedule.mjs'
import { addressOf, jwk } from '../lib/wallets.mjs'

test('message: 202 with the item\'s id and no processId', async () => {
  const process = await spawn()
  const { id, raw } = await messageItem({ target: process, tags: [tag('Action', 'Eval')], data: '1' })
  const { status, json } = await postItem(raw)
  assert.equal(status, 202)
  assert.equal(json.id, id)
  assert.equal(typeof json.message, 'string')
  assert.equal('processId' in json, false)
})

test('message: it is in the schedule when the answer arrives, with its tags in their order', async () => {
  const process = await spawn()
  const id = await send(process, { action: 'Hello', tags: [tag('B', '2'), tag('A', '1'), tag('B', '3')] })
  const { json } = await ask(`/${id}?process-id=${process}`)
  assert.equal(json.message.id, id)
  assert.equal(json.message.target, process)
  assert.equal(json.message.data, ' ')
  assert.equal(json.message.anchor, null)
  assert.deepEqual(json.message.tags.slice(0, 4), [tag('Action', 'Hello'), tag('B', '2'), tag('A', '1'), tag('B', '3')])
  assert.equal(valueOf(json.message.tags, 'SDK'), 'aoconnect')
  assert.equal(json.message.owner.address, addressOf(jwk('alice')))
})

test('result: the value, a prompt, empty lists, gas; never the memory', async () => {
  const process = await spawn()
  const result = await evaluate(process, '6 * 7')
  assert.equal(textOf(result), '42')
  assert.equal(typeof result.Output.prompt, 'string')
  assert.deepEqual([result.Messages, result.Spawns, result.Assignments], [[], [], []])
  assert.equal(typeof result.GasUsed, 'number')
  assert.equal('Memory' in result, false)
})

test('result: asked again it is the same to the byte', async () => {
  const process = await spawn()
  const { id } = await call(process, { action: 'Eval', data: '{1, 2, x = "y"}' })
  const path = `/result/${id}?process-id=${process}`
  const first = await ask(path)
  assert.equal(first.status, 200)
  assert.equal((await ask(path)).text, first.text)
  assert.equal((await ask(path + '&no-busy=1')).text, first.text)
  assert.equal((await ask('/cu' + path)).text, first.text)
})

test('result: of an earlier message after later ones', async () => {
  const process = await spawn()
  const ids = []
  for (const n of [1, 2, 3]) ids.push(await send(process, { action: 'Eval', data: `return "number ${n}"` }))
  for (const [n, message] of ids.entries()) assert.equal(textOf(await ao.result({ process, message })), `number ${n + 1}`)
})

test('error: it is a result with status 200, the state is as before, the next message evaluates', async () => {
  const process = await spawn()
  await evaluate(process, 'Kept = 1')
  const { id } = await call(process, { action: 'Eval', data: 'Kept = 2 error("boom")' })
  const answer = await ask(`/result/${id}?process-id=${process}`)
  assert.equal(answer.status, 200)
  assert.match(answer.json.Error, /boom/)
  assert.deepEqual(answer.json.Messages, [])
  assert.equal(await peek(process, 'Kept'), '1')
  assert.equal(textOf(await evaluate(process, 'Kept + 1')), '2')
})

test('error: messages made before it are not pushed', async () => {
  const process = await spawn()
  const result = await call(process, { action: 'Eval', data: `Send({ Target = "${strangeId('target')}", Data = "lost" }) error("late")` })
  assert.match(result.Error, /late/)
  assert.deepEqual(result.Messages, [])
})

test('unknown message: 404 JSON at once', async () => {
  const process = await spawn()
  const answer = await ask(`/result/${strangeId('message')}?process-id=${process}`)
  assertRefused(answer, { status: 404 })
  assert.ok(answer.ms < 2_000, `answered after ${answer.ms} ms`)
  assert.equal(typeof (await ao.result({ process, message: strangeId('message') })).error, 'string')
})

test('unknown process: result, message and record are refused at once', async () => {
  const process = strangeId('process')
  const answer = await ask(`/result/${strangeId('message')}?process-id=${process}`)
  assertRefused(answer, { status: 404 })
  assert.ok(answer.ms < 2_000, `answered after ${answer.ms} ms`)
  await assert.rejects(ao.message({ process, signer: signer(), tags: [] }), /^Error: \d{3}: /)
  assertRefused(await ask(`/processes/${process}`))
  assertRefused(await ask(`/${process}?process-id=${process}`))
})

test('result without process-id, or with one that is no id, is refused', async () => {
  assertRefused(await ask(`/result/${strangeId('message')}`), { match: /process-?id/i })
  assertRefused(await ask(`/result/${strangeId('message')}?process-id=short`))
  assertRefused(await ask(`/result/short?process-id=${strangeId('process')}`))
})

test('a message of one process is no message of another', async () => {
  const [one, two] = [await spawn(), await spawn()]
  const id = await send(one, { action: 'Eval', data: '1' })
  assertRefused(await ask(`/result/${id}?process-id=${two}`), { status: 404 })
})

test('sign first, send later: signMessage and sendSignedMessage', async () => {
  const process = await spawn()
  const signed = await ao.signMessage({ process, signer: signer(), tags: [tag('Action', 'Eval')], data: '"signed"', anchor: '' })
  assert.equal((await schedule(process)).length, 1)
  await ao.sendSignedMessage(signed)
  assert.equal(textOf(await ao.result({ process, message: signed.id })), 'signed')
})

test('anchor: kept, shown and given to the process', async () => {
  const process = await spawn()
  await evaluate(process, 'Handlers.add("Anchor", "Anchor", function (msg) print(msg.Anchor) end)')
  const anchor = '0123456789abcdef0123456789abcdef'
  const result = await call(process, { action: 'Anchor', anchor })
  assert.match(textOf(result), new RegExp(anchor))
  const { json } = await ask(`/${result.id}?process-id=${process}&show-anchor`)
  assert.equal(json.message.anchor, anchor)
})
