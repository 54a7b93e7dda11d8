// Spawning: what aoconnect's `spawn` needs, what the schedule shows at once, and what is refused before a slot is used.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, moduleOf, signer, spawn } from '../lib/ao.mjs'
import { item, protocol, strangeId, tag } from '../lib/items.mjs'
import { ask, assertRefused, identity, postItem } from '../lib/node.mjs'
import { assertChain, schedule, valueOf } from '../lib/schedule.mjs'
import { addressOf, jwk } from '../lib/wallets.mjs'

const processItem = async (tags, rest = {}) => item({ ...rest, tags: [...tags, ...protocol('Process')] })

test('spawn: the id is that of the signed item, and the record is there when the answer arrives', async () => {
  const id = await spawn({ tags: [tag('Name', 'first'), tag('X-Own', 'kept')] })
  assert.match(id, /^[\w-]{43}$/)
  const { status, json } = await ask(`/processes/${id}`)
  assert.equal(status, 200)
  assert.equal(json.process_id, id)
  assert.equal(json.owner.address, addressOf(jwk('alice')))
  assert.equal(json.owner.key, jwk('alice').n)
  assert.equal(valueOf(json.tags, 'X-Own'), 'kept')
  assert.equal(valueOf(json.tags, 'Type'), 'Process')
  assert.equal(typeof json.timestamp, 'number')
  assert.match(json.block, /^\d{12}$/)
  assert.equal(json.data, ' ')
})

test('spawn: the process item is slot 0 and has no Message tag', async () => {
  const id = await spawn()
  const edges = await schedule(id)
  assert.equal(edges.length, 1)
  assertChain(id, edges)
  assert.equal(edges[0].node.message.id, id)
  assert.deepEqual(edges[0].node.assignment.tags.map(each => each.name),
    ['Process', 'Epoch', 'Nonce', 'Hash-Chain', 'Block-Height', 'Timestamp', 'Data-Protocol', 'Type', 'Variant'])
})

test('spawn: the boot has a result under the process id', async () => {
  const id = await spawn()
  const boot = await ao.result({ process: id, message: id })
  assert.equal(boot.Error, undefined)
  assert.deepEqual([boot.Messages, boot.Spawns, boot.Assignments], [[], [], []])
  assert.equal('Memory' in boot, false)
})

test('spawn: On-Boot=Data runs the data of the process item', async () => {
  const id = await spawn({ tags: [tag('On-Boot', 'Data')], data: 'Booted = 6 * 7' })
  const answer = await ao.dryrun({ process: id, Owner: addressOf(jwk('alice')), data: 'return Booted', tags: [tag('Action', 'Eval')] })
  assert.match(JSON.stringify(answer.Output), /42/)
})

test('spawn: a module that nobody has is refused by client and node', async () => {
  const { scheduler } = await identity()
  const module = strangeId('module')
  await assert.rejects(ao.spawn({ module, scheduler, signer: signer() }))
  const { id, raw } = await processItem([tag('Module', module), tag('Scheduler', scheduler)])
  assertRefused(await postItem(raw))
  assertRefused(await ask(`/processes/${id}`))
})

test('spawn: a process of another scheduler is refused', async () => {
  const { raw } = await processItem([tag('Module', await moduleOf()), tag('Scheduler', strangeId('scheduler'))])
  assertRefused(await postItem(raw))
})

test('spawn: Module and Scheduler are compulsory, and may not be given twice', async () => {
  const { scheduler } = await identity()
  const module = await moduleOf()
  for (const tags of [
    [tag('Module', module)],
    [tag('Scheduler', scheduler)],
    [tag('Module', module), tag('Module', module), tag('Scheduler', scheduler)]
  ]) assertRefused(await postItem((await processItem(tags)).raw), { status: [400, 422] })
})

test('spawn: a cron interval that cannot fire is refused', async () => {
  const { scheduler } = await identity()
  for (const crons of [[tag('Cron-Interval', '2-months')], [tag('Cron-Tag-Action', 'Tick')], [tag('Cron-Interval', 'often')]]) {
    const { raw } = await processItem([tag('Module', await moduleOf()), tag('Scheduler', scheduler), ...crons])
    assertRefused(await postItem(raw))
  }
})
