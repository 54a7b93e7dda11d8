// Items that must not get in: replays, forgeries, wrong tags, broken bytes. After each, the schedule is as before.
import { before, test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, signer, spawn } from '../lib/ao.mjs'
import { item, messageItem, protocol, strangeId, tag } from '../lib/items.mjs'
import { assertRefused, postItem } from '../lib/node.mjs'
import { assertChain, schedule } from '../lib/schedule.mjs'

let process
before(async () => { process = await spawn() })

const refused = async (raw, expectations) => {
  const length = (await schedule(process)).length
  const answer = await postItem(raw)
  assertRefused(answer, expectations)
  assert.equal((await schedule(process)).length, length)
  return answer
}

test('a replay of the very same item is refused and named a duplicate', async () => {
  const { id, raw } = await messageItem({ target: process })
  assert.equal((await postItem(raw)).status, 202)
  await refused(raw, { match: /MessageExists|exist|duplicate|already/i })
  await refused(raw)
  const edges = await schedule(process)
  assertChain(process, edges)
  assert.equal(edges.filter(edge => edge.node.message.id === id).length, 1)
})

test('the same process item twice is refused', async () => {
  const { node } = (await schedule(process))[0]
  assert.equal(node.message.id, process)
  const { identity } = await import('../lib/node.mjs')
  const { moduleOf } = await import('../lib/ao.mjs')
  const { scheduler } = await identity()
  const { raw } = await item({ tags: [tag('Module', await moduleOf()), tag('Scheduler', scheduler), ...protocol('Process')] })
  assert.equal((await postItem(raw)).status, 202)
  await refused(raw)
})

// Where what is in a type-1 item: 2 type, 512 signature, 512 owner, 33 target, 1 anchor, 16 counts, tags, data.
const tampers = {
  'a bit of the signature': raw => { raw[100] ^= 1 },
  'a bit of the owner': raw => { raw[600] ^= 1 },
  'a bit of the target': raw => { raw[1030] ^= 1 },
  'a byte of the data': raw => { raw[raw.length - 1] ^= 0x20 },
  'a byte of a tag': raw => { raw[raw.indexOf('Action') + 1] ^= 0x20 }
}
for (const [what, change] of Object.entries(tampers)) {
  test(`tampered: ${what}`, async () => {
    const { raw } = await messageItem({ target: process, tags: [tag('Action', 'X')], data: 'data' })
    change(raw)
    await refused(raw, { status: 400 })
  })
}

test('bytes that are no item: none, few, random, cut short, with a tail', async () => {
  const { raw } = await messageItem({ target: process })
  await refused(Buffer.alloc(0), { status: 400 })
  await refused(Buffer.from([1, 0]), { status: 400 })
  await refused(Buffer.alloc(2000, 7), { status: 400 })
  await refused(Buffer.from('{"not":"an item"}'), { status: 400 })
  for (const length of [1, 3, 514, 1026, 1059, 1070]) await refused(raw.subarray(0, length), { status: 400 })
  await refused(Buffer.concat([raw, Buffer.from('tail')]), { status: 400 })
})

test('an unknown signature type', async () => {
  const { raw } = await messageItem({ target: process })
  for (const type of [0, 8, 255, 65535]) {
    raw.writeUInt16LE(type, 0)
    await refused(raw, { status: 400 })
  }
})

test('tags: missing, wrong or repeated protocol tags', async () => {
  const wrong = [
    [], [tag('Data-Protocol', 'ao')], [tag('Type', 'Message')],
    [tag('Data-Protocol', 'ao'), tag('Variant', 'ao.TN.1'), tag('Type', 'Massage')],
    [...protocol('Message'), tag('Type', 'Message')], [...protocol('Message'), tag('Data-Protocol', 'ao')],
    [...protocol('Message'), tag('Variant', 'ao.TN.1')],
    [...protocol('Message'), tag('From-Process', strangeId('1')), tag('From-Process', strangeId('2'))]
  ]
  for (const tags of wrong) await refused((await item({ target: process, tags })).raw, { status: 400 })
})

test('tags: names and values that end in +link', async () => {
  for (const each of [tag('Body+link', 'x'), tag('X', 'y+link')]) {
    await refused((await messageItem({ target: process, tags: [each] })).raw, { status: 400 })
  }
})

test('a message without a target', async () => {
  await refused((await messageItem({})).raw)
})

test('the same signed item through aoconnect: refused with status and reason', async () => {
  const signed = await ao.signMessage({ process, signer: signer(), tags: [], data: 'x', anchor: '' })
  await ao.sendSignedMessage(signed)
  await assert.rejects(ao.sendSignedMessage(signed), /^Error: \d{3}: \{.*"error"/s)
})
