// Assigning existing items to a process.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, evaluate, peek, send, spawn } from '../lib/ao.mjs'
import { item, strangeId, tag } from '../lib/items.mjs'
import { ask, assertRefused, postItem } from '../lib/node.mjs'
import { assertChain, schedule, valueOf } from '../lib/schedule.mjs'

const stored = async (data, tags = []) => {
  const { id, raw } = await item({ data, tags: [tag('Kind', 'note'), ...tags] })
  const { status, text } = await postItem(raw, '/tx')
  assert.equal(status, 200, text)
  return id
}
const listening = async () => {
  const process = await spawn()
  await evaluate(process, `ao.addAssignable("notes", function (msg) return msg.Tags.Kind == "note" end)
    Handlers.add("notes", function (msg) return msg.Tags.Kind == "note" end, function (msg)
      Seen = { id = msg.Id, data = tostring(msg.Data), kind = msg.Tags.Kind, from = msg.From }
    end)`)
  return process
}

test('assign: an uploaded item reaches the process', async () => {
  const [process, note] = [await listening(), await stored('remember')]
  const assignment = await ao.assign({ process, message: note })
  assert.match(assignment, /^[\w-]{43}$/)
  const { json } = await ask(`/${assignment}?process-id=${process}`)
  assert.equal(json.assignment.id, assignment)
  assert.equal(valueOf(json.assignment.tags, 'Message'), note)
  const result = await ao.result({ process, message: note })
  assert.equal(result.Error, undefined)
  assert.equal(await peek(process, 'Seen.id .. " " .. Seen.data'), `${note} remember`)
})

test('assign: with exclude the data is not loaded, and the assignment says so', async () => {
  const [process, note] = [await listening(), await stored('secret')]
  const assignment = await ao.assign({ process, message: note, exclude: ['Data', 'Anchor'] })
  const edges = await schedule(process)
  assertChain(process, edges)
  const { message, assignment: last } = edges.at(-1).node
  assert.equal(last.id, assignment)
  assert.equal(message, null)
  assert.deepEqual(last.tags.filter(each => each.name === 'Exclude').map(each => each.value), ['Data', 'Anchor'])
  const { Error: failed } = await ao.result({ process, message: note })
  assert.equal(failed, undefined)
  assert.notEqual(await peek(process, 'Seen.data'), 'secret')
  assert.equal(await peek(process, 'Seen.kind'), 'note')
})

test('assign: a process that declared nothing assignable ignores it', async () => {
  const [process, note] = [await spawn(), await stored('unasked')]
  await evaluate(process, 'Handlers.prepend("all", function () return "continue" end, function (msg) if msg.Tags.Kind == "note" then Took = true end end)')
  await ao.assign({ process, message: note })
  await ao.result({ process, message: note })
  assert.equal(await peek(process, 'tostring(Took)'), 'nil')
})

test('assign: one message to two processes', async () => {
  const [one, two] = [await listening(), await listening()]
  const note = await stored('both')
  await ao.assign({ process: one, message: note })
  await ao.assign({ process: two, message: note })
  for (const process of [one, two]) {
    await ao.result({ process, message: note })
    assert.equal(await peek(process, 'Seen.data'), 'both')
  }
})

test('assign: twice the same item to one process is refused', async () => {
  const [process, note] = [await listening(), await stored('once')]
  await ao.assign({ process, message: note })
  await assert.rejects(ao.assign({ process, message: note }))
  assert.equal((await schedule(process)).length, 3)
})

test('assign: unknown item, unknown process, half the parameters, no ids', async () => {
  const process = await spawn()
  const note = await stored('x')
  const post = query => ask('/?' + query, { method: 'POST', headers: { 'content-type': 'application/octet-stream' } })
  assertRefused(await post(`process-id=${process}&assign=${strangeId('item')}`), { status: 404 })
  assertRefused(await post(`process-id=${strangeId('process')}&assign=${note}`), { status: 404 })
  assertRefused(await post(`assign=${note}`), { status: 400 })
  assertRefused(await post(`process-id=${process}`), { status: 400 })
  assertRefused(await post(`process-id=${process}&assign=short`), { status: 400 })
  assert.equal((await schedule(process)).length, 1)
})

test('assign: a message of another process', async () => {
  const [one, two] = [await spawn(), await listening()]
  const message = await send(one, { tags: [tag('Kind', 'note')], data: 'theirs' })
  await ao.assign({ process: two, message })
  await ao.result({ process: two, message })
  assert.equal(await peek(two, 'Seen.data'), 'theirs')
})
