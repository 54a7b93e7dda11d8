// Crons and monitors.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { serializeCron } from '@permaweb/aoconnect'
import { ao, evaluate, peek, send, signer, spawn } from '../lib/ao.mjs'
import { item, strangeId, tag } from '../lib/items.mjs'
import { ask, assertRefused, until } from '../lib/node.mjs'
import { schedule, valueOf } from '../lib/schedule.mjs'

const ticking = serializeCron({ interval: '1-second', tags: [tag('Action', 'Tick')] })
const decode = cursor => JSON.parse(Buffer.from(cursor, 'base64').toString())
const ticker = async (code = '') => {
  const process = await spawn({ tags: ticking })
  await evaluate(process, `Ticks = 0 Handlers.add("Tick", "Tick", function (msg) Ticks = Ticks + 1 Last = msg.Timestamp Cron = msg.Cron From = msg.From ${code} end)`)
  return process
}

test('cron: ticks come by themselves, from the owner, and are on no schedule', async () => {
  const process = await ticker()
  const page = await until('two ticks', async () => {
    const { json } = await ask(`/cron/${process}`)
    return json.edges.length >= 2 && json
  })
  for (const { cursor } of page.edges) {
    const { cron, ordinate, timestamp, sort } = decode(cursor)
    assert.equal(cron, '0-1-second')
    assert.equal(sort, 'ASC')
    assert.match(String(ordinate), /^\d+$/)
    assert.equal(typeof timestamp, 'number')
  }
  const times = page.edges.map(edge => decode(edge.cursor).timestamp)
  assert.deepEqual(times, [...times].sort((a, b) => a - b))
  await until('the ticks in the state', async () => Number(await peek(process, 'Ticks')) >= 2)
  assert.equal(await peek(process, 'tostring(Cron) .. tostring(From == Owner)'), 'truetrue')
  assert.equal((await schedule(process)).length, 2)
})

test('cron: a later message sees the ticks before it', async () => {
  const process = await ticker()
  await until('a tick', async () => (await ask(`/cron/${process}`)).json.edges.length >= 1)
  const before = Number(await peek(process, 'Ticks'))
  const message = await send(process, { action: 'Eval', data: 'Seen = Ticks' })
  assert.equal((await ao.result({ process, message })).Error, undefined)
  assert.ok(Number(await peek(process, 'Seen')) >= before)
  assert.ok(before >= 1)
})

test('cron: pages go on after a cursor', async () => {
  const process = await ticker()
  const first = await until('two ticks', async () => {
    const { json } = await ask(`/cron/${process}?limit=1`)
    return json.pageInfo.hasNextPage && json
  })
  assert.equal(first.edges.length, 1)
  const { json: second } = await ask(`/cron/${process}?from=${encodeURIComponent(first.edges[0].cursor)}&limit=1`)
  assert.equal(second.edges.length, 1)
  assert.ok(decode(second.edges[0].cursor).timestamp > decode(first.edges[0].cursor).timestamp)
})

test('monitor: cron messages are pushed while it is on, and not after', async () => {
  const sink = await spawn()
  const process = await ticker(`Send({ Target = "${sink}", Action = "Ticked", N = tostring(Ticks) })`)
  await until('a tick', async () => (await ask(`/cron/${process}`)).json.edges.length >= 1)
  assert.equal((await schedule(sink)).length, 1, 'nothing is pushed without a monitor')
  await ao.monitor({ process, signer: signer() })
  const edges = await until('a pushed tick', async () => {
    const found = await schedule(sink)
    return found.length >= 2 && found
  })
  const { message } = edges[1].node
  assert.equal(valueOf(message.tags, 'From-Process'), process)
  assert.equal(valueOf(message.tags, 'Action'), 'Ticked')
  assert.equal(valueOf(message.tags, 'Pushed-For'), undefined, 'a cron message has no origin')
  await ao.unmonitor({ process, signer: signer() })
  const ticks = (await ask(`/cron/${process}`)).json.edges.length
  await until('four more ticks', async () => (await ask(`/cron/${process}`)).json.edges.length >= ticks + 4)
  // Those of before may still be on their way on a slow machine: which ones are pushed counts, not when they arrive.
  const pushed = (await schedule(sink)).map(({ node }) => Number(valueOf(node.message.tags, 'N') ?? 0))
  assert.ok(Math.max(...pushed) <= ticks + 1, `tick ${Math.max(...pushed)} was pushed, and there were ${ticks}`)
})

test('monitor: twice is refused, so is taking away what is not there', async () => {
  const process = await ticker()
  await ao.monitor({ process, signer: signer() })
  await assert.rejects(ao.monitor({ process, signer: signer() }), /monitor/i)
  await ao.unmonitor({ process, signer: signer() })
  await assert.rejects(ao.unmonitor({ process, signer: signer() }), /monitor/i)
})

test('monitor: the signature is checked, and the process must be known', async () => {
  const process = await ticker()
  const { raw } = await item({ target: process })
  raw[200] ^= 1
  const post = (path, body) => ask(path, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body })
  assertRefused(await post(`/monitor/${process}`, raw), { status: 400 })
  const unknown = strangeId('process')
  assertRefused(await post(`/monitor/${unknown}`, (await item({ target: unknown })).raw), { status: 404 })
  assertRefused(await post(`/monitor/${process}`, (await item({ target: unknown })).raw))
})
