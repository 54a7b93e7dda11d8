// Messages between processes: what is pushed, how it is tagged, where it ends.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, evaluate, moduleOf, peek, send, spawn } from '../lib/ao.mjs'
import { tag } from '../lib/items.mjs'
import { graphql, identity, until } from '../lib/node.mjs'
import { assertChain, schedule, valueOf } from '../lib/schedule.mjs'
import { addressOf, jwk } from '../lib/wallets.mjs'

const VOLLEYS = 6
const player = `Volleys = 0
Handlers.add("Ball", "Ball", function (msg)
  Volleys = Volleys + 1
  local left = tonumber(msg.Left)
  if left > 0 then Send({ Target = msg.From, Action = "Ball", Left = tostring(left - 1) }) end
end)`
const grown = (process, length) => until(`${length} slots in ${process}`, async () => {
  const edges = await schedule(process)
  return edges.length >= length && edges
})

test('push: ping-pong between two processes, each ball once', async () => {
  const [one, two] = [await spawn(), await spawn()]
  await evaluate(one, player)
  await evaluate(two, player)
  const started = await send(one, { action: 'Serve' })
  await evaluate(one, `Send({ Target = "${two}", Action = "Ball", Left = "${VOLLEYS - 1}" })`)
  const edges = await grown(two, 2 + VOLLEYS / 2)
  await grown(one, 4 + VOLLEYS / 2)
  await until('all balls are played', async () => await peek(one, 'Volleys') === String(VOLLEYS / 2))
  assert.equal(await peek(two, 'Volleys'), String(VOLLEYS / 2))
  assertChain(one, await schedule(one))
  assertChain(two, edges)
  assert.ok((await schedule(one)).some(edge => edge.node.message?.id === started))
})

test('push: tags of a pushed message, in their order, signed by the messenger', async () => {
  const [one, two] = [await spawn(), await spawn()]
  const { messenger } = await identity()
  const origin = await send(one, { action: 'Eval', data: `Send({ Target = "${two}", Action = "Note", Data = "from one", ["From-Process"] = "forged", Own = "x" })` })
  const { message } = (await grown(two, 2))[1].node
  assert.equal(message.owner.address, messenger)
  assert.equal(message.target, two)
  assert.equal(message.data, 'from one')
  const names = message.tags.map(each => each.name)
  assert.deepEqual(names.slice(-5), ['Data-Protocol', 'Type', 'From-Process', 'From-Module', 'Pushed-For'])
  for (const name of ['Data-Protocol', 'Type', 'From-Process', 'Variant']) {
    assert.equal(names.filter(each => each === name).length, 1, `${name} is there once`)
  }
  assert.equal(valueOf(message.tags, 'From-Process'), one)
  assert.equal(valueOf(message.tags, 'From-Module'), await moduleOf())
  assert.equal(valueOf(message.tags, 'Pushed-For'), origin)
  assert.equal(valueOf(message.tags, 'Action'), 'Note')
  assert.equal(valueOf(message.tags, 'Own'), 'x')
  assert.match(valueOf(message.tags, 'Reference'), /^\d+$/)
})

test('push: Pushed-For names the first item of a chain of three', async () => {
  const [one, two, three] = [await spawn(), await spawn(), await spawn()]
  await evaluate(one, `Handlers.add("Pass", "Pass", function (msg) Send({ Target = "${two}", Action = "Pass" }) end)`)
  await evaluate(two, `Handlers.add("Pass", "Pass", function (msg) Send({ Target = "${three}", Action = "Pass" }) end)`)
  const origin = await send(one, { action: 'Pass' })
  const { message } = (await grown(three, 2))[1].node
  assert.equal(valueOf(message.tags, 'Pushed-For'), origin)
  assert.equal(valueOf(message.tags, 'From-Process'), two)
})

test('push: the sender\'s anchor is kept, so equal messages stay distinct', async () => {
  const [one, two] = [await spawn(), await spawn()]
  await evaluate(one, `for i = 1, 3 do Send({ Target = "${two}", Action = "Same", Data = "same" }) end`)
  const edges = await grown(two, 4)
  const references = edges.slice(1).map(edge => valueOf(edge.node.message.tags, 'Reference'))
  assert.equal(new Set(references).size, 3)
})

test('push: a reply to a wallet is stored and not scheduled', async () => {
  const process = await spawn()
  await evaluate(process, 'Handlers.add("Ask", "Ask", function (msg) msg.reply({ Data = "answer", Action = "Reply" }) end)')
  const asked = await send(process, { action: 'Ask', from: 'bob' })
  const bob = addressOf(jwk('bob'))
  const edge = await until('the stored reply', async () => {
    const { transactions } = await graphql(`query ($r: [String!]!, $p: String!) {
      transactions(recipients: $r, tags: [{ name: "From-Process", values: [$p] }]) { edges { node { id recipient tags { name value } } } } }`, { r: [bob], p: process })
    return transactions.edges[0]
  })
  assert.equal(edge.node.recipient, bob)
  assert.equal(valueOf(edge.node.tags, 'Pushed-For'), asked)
  assert.equal((await schedule(process)).length, 3)
})

test('spawn from inside: the child runs, the parent is told with Spawned', async () => {
  const parent = await spawn()
  const module = await moduleOf()
  const { messenger, scheduler } = await identity()
  await evaluate(parent, `Handlers.add("Spawned", "Spawned", function (msg) Child = msg.Process Note = msg.Note end)
    Handlers.add("Hello", "Hello", function (msg) Greeted = msg.From end)`)
  const origin = await send(parent, { action: 'Eval', data: `Spawn("${module}", { Data = "Send({ Target = '${parent}', Action = 'Hello' })",
    Tags = { ["On-Boot"] = "Data", Note = "mine", Authority = "${messenger}" } })` })
  const child = await until('the Spawned message', async () => {
    const id = await peek(parent, 'tostring(Child)')
    return id !== 'nil' && id
  })
  assert.match(child, /^[\w-]{43}$/)
  const [first] = await schedule(child)
  const tags = first.node.message.tags
  assert.equal(valueOf(tags, 'From-Process'), parent)
  assert.equal(valueOf(tags, 'Pushed-For'), origin)
  assert.equal(valueOf(tags, 'Scheduler'), scheduler)
  assert.equal(valueOf(tags, 'Module'), module)
  assert.equal(valueOf(tags, 'Type'), 'Process')
  assert.equal(await peek(parent, 'Note'), 'mine')
  // what the child sent while it booted comes back
  await until('the child\'s greeting', async () => await peek(parent, 'tostring(Greeted)') === child)
  const told = (await schedule(parent)).map(edge => edge.node.message).find(message => valueOf(message.tags, 'Action') === 'Spawned')
  assert.equal(valueOf(told.tags, 'Process'), child)
  assert.equal(valueOf(told.tags, 'Pushed-For'), undefined)
})

test('spawn from inside: the parent owns the child', async () => {
  const parent = await spawn()
  const { messenger } = await identity()
  await evaluate(parent, 'Handlers.add("Spawned", "Spawned", function (msg) Child = msg.Process end)')
  await evaluate(parent, `Spawn("${await moduleOf()}", { Data = " ", Tags = { Authority = "${messenger}" } })`)
  const child = await until('the child', async () => {
    const id = await peek(parent, 'tostring(Child)')
    return id !== 'nil' && id
  })
  await evaluate(parent, `Send({ Target = Child, Action = "Eval", Data = "Told = 7" })`)
  await until('the parent\'s Eval in the child', async () => await peek(child, 'tostring(Told)', parent) === '7')
})

test('assignments from inside: a process assigns an item to another', async () => {
  const [one, two] = [await spawn(), await spawn()]
  await evaluate(two, 'ao.addAssignable("any", function () return true end) Handlers.add("Given", "Given", function (msg) Got = msg.Id end)')
  const message = await send(one, { action: 'Given' })
  await evaluate(one, `Assign({ Processes = { "${two}" }, Message = "${message}" })`)
  await grown(two, 3)
  await until('the assigned message is evaluated', async () => await peek(two, 'tostring(Got)') === message)
})

test('receive: a process that waits for the answer of another', async () => {
  const [client, server] = [await spawn(), await spawn()]
  await evaluate(server, 'Handlers.add("Ask", "Ask", function (msg) msg.reply({ Data = "forty-two" }) end)')
  const message = await send(client, { action: 'Eval', data: `Answer = Send({ Target = "${server}", Action = "Ask" }).receive().Data` })
  assert.equal((await ao.result({ process: client, message })).Error, undefined)
  await until('the answer', async () => await peek(client, 'tostring(Answer)') === 'forty-two')
})

test('cast: the results of a message tagged Cast are not pushed', async () => {
  const [one, two] = [await spawn(), await spawn()]
  const cast = await send(one, { action: 'Eval', tags: [tag('Cast', 'True')], data: `Send({ Target = "${two}", Action = "Quiet" })` })
  assert.equal((await ao.result({ process: one, message: cast })).Messages.length, 1)
  await evaluate(one, `Send({ Target = "${two}", Action = "Loud" })`)
  const edges = await grown(two, 2)
  assert.deepEqual(edges.slice(1).map(edge => valueOf(edge.node.message.tags, 'Action')), ['Loud'])
})
