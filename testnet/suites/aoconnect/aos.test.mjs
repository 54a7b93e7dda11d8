// Real AOS modules, 64-bit and 32-bit, spawned and driven as aos does it.
import { before, describe, test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, call, evaluate, kinds, moduleOf, peek, send, signer, spawn, textOf } from '../lib/ao.mjs'
import { tag } from '../lib/items.mjs'
import { ask, graphql, identity, until } from '../lib/node.mjs'
import { assertChain, schedule, valueOf } from '../lib/schedule.mjs'
import { addressOf, jwk } from '../lib/wallets.mjs'

for (const kind of Object.keys(kinds).filter(each => each !== 'lua')) {
  describe(kind, () => {
    let process
    before(async () => { process = await spawn({ kind, tags: [tag('Name', 'tess')] }) })

    test('boots, evaluates, prompts', async () => {
      assert.equal(textOf(await evaluate(process, '6 * 7')), '42')
      const { Output } = await evaluate(process, 'Version = require(".process")._version return Version')
      assert.match(Output.data, /^2\.0\.\d$/)
      assert.match(Output.prompt, /tess/)
    })

    test('keeps state from message to message', async () => {
      await evaluate(process, 'Count = 0')
      for (let n = 1; n <= 5; n++) assert.equal(textOf(await evaluate(process, 'Count = Count + 1 return Count')), String(n))
    })

    test('an error rolls back', async () => {
      await evaluate(process, 'Kept = "yes"')
      const { Error: text } = await call(process, { action: 'Eval', data: 'Kept = "no" error("boom")' })
      assert.match(text, /boom/)
      assert.equal(await peek(process, 'Kept'), 'yes')
      assert.match((await call(process, { action: 'Eval', data: 'not lua (' })).Error, /syntax error|unexpected symbol/)
      // some builds warn about the slot that failed before they answer
      assert.match(textOf(await evaluate(process, 'Kept')), /yes$/)
    })

    test('a stranger\'s message goes to the inbox, its Eval does nothing', async () => {
      const before = Number(await peek(process, '#Inbox'))
      await call(process, { action: 'Eval', data: 'Kept = "stolen"', from: 'bob' })
      assert.equal(await peek(process, 'Kept'), 'yes')
      assert.equal(Number(await peek(process, '#Inbox')), before + 1)
      assert.equal(await peek(process, 'Inbox[#Inbox].From'), addressOf(jwk('bob')))
    })

    test('a forged From-Process is not trusted', async () => {
      const result = await call(process, { action: 'Ping', tags: [tag('From-Process', await spawn())], from: 'bob' })
      assert.match(JSON.stringify(result.Output), /not trusted/i)
      // AOS tells the pretended sender, and does nothing else
      for (const message of result.Messages) assert.match(message.Data, /not trusted/)
    })

    test('plays with a process of another machine, both ways', async () => {
      const lua = await spawn()
      const code = 'Handlers.add("Ping", "Ping", function (msg) Pinged = msg.From msg.reply({ Action = "Pong", Data = "pong " .. tostring(msg.Data) }) end) Handlers.add("Pong", "Pong", function (msg) Ponged = msg.Data end)'
      await evaluate(process, code)
      await evaluate(lua, code)
      await evaluate(process, `Send({ Target = "${lua}", Action = "Ping", Data = "1" })`)
      await until('the pong in AOS', async () => await peek(process, 'tostring(Ponged)') === 'pong 1')
      assert.equal(await peek(lua, 'Pinged'), process)
      await evaluate(lua, `Send({ Target = "${process}", Action = "Ping", Data = "2" })`)
      await until('the pong in Lua', async () => await peek(lua, 'tostring(Ponged)') === 'pong 2')
      const edges = await schedule(process)
      assertChain(process, edges)
      const pushed = edges.map(edge => edge.node.message).find(message => valueOf(message.tags, 'Action') === 'Pong')
      assert.equal(valueOf(pushed.tags, 'From-Module'), await moduleOf('lua'))
    })

    test('spawns another of its kind, which answers', async () => {
      const { messenger } = await identity()
      await evaluate(process, `Child = nil Handlers.add("Spawned", "Spawned", function (msg) Child = msg.Process end)
        Spawn("${await moduleOf(kind)}", { Data = " ", Authority = "${messenger}" })`)
      const child = await until('the Spawned message', async () => {
        const id = await peek(process, 'tostring(Child)')
        return id !== 'nil' && id
      })
      await evaluate(process, `Send({ Target = "${child}", Action = "Eval", Data = "Told = 7" })`)
      await until('the Eval of its parent', async () => await peek(child, 'tostring(Told)', process) === '7')
    })

    test('dry runs leave it as it is', async () => {
      await evaluate(process, 'Dry = 1')
      assert.equal(await peek(process, '(function () Dry = Dry + 1 return Dry end)()'), '2')
      assert.equal(await peek(process, '(function () Dry = Dry + 1 return Dry end)()'), '2')
      assert.equal(textOf(await evaluate(process, 'Dry')), '1')
    })

    test('20 messages at once', async () => {
      await evaluate(process, 'Sum = 0 Handlers.add("Add", "Add", function (msg) Sum = Sum + 1 end)')
      const ids = await Promise.all(Array.from({ length: 20 }, () => send(process, { action: 'Add' })))
      await Promise.all(ids.map(message => ao.result({ process, message })))
      assert.equal(await peek(process, 'Sum'), '20')
      assertChain(process, await schedule(process))
    })
  })
}

test('the traffic of aos 2 as recorded: look-up, spawn, first Eval, polling for prints', async () => {
  const { scheduler, messenger } = await identity()
  const me = addressOf(jwk('alice'))
  const module = await moduleOf('aos 64-bit')
  const named = 'recorded ' + globalThis.process.pid
  const look = 'query ($owners: [String!]!, $name: String!) { transactions(first: 10, owners: $owners, tags: [{ name: "Data-Protocol", values: ["ao"] }, { name: "Type", values: ["Process"] }, { name: "Name", values: [$name] }]) { edges { node { id } } } }'
  assert.deepEqual((await graphql(look, { owners: [me, ''], name: named })).transactions.edges, [])
  const process = await ao.spawn({ module, scheduler, signer: signer(), data: '1984', tags: [
    tag('App-Name', 'aos'), tag('Name', named), tag('Authority', 'fcoN_xJeisVsPXA-trzVAuIiqO3ydLQxM-L4XbrQKzY'), tag('aos-Version', '2.0.16'), tag('Authority', messenger)] })
  assert.equal((await graphql(look, { owners: [me, ''], name: named })).transactions.edges[0].node.id, process)
  const message = await send(process, { action: 'Eval', data: "require('.process')._version" })
  const { Output } = await ao.result({ process, message })
  assert.ok(Output.prompt ?? Output.data?.prompt)
  // its live loop: a cursor from the newest, then everything after it; only what handlers print is shown
  const { json: start } = await ask(`/results/${process}?sort=DESC&limit=5`)
  const newest = start.edges[0].cursor
  assert.equal(JSON.parse(atob(newest)).ordinate, '1')
  await evaluate(process, 'Handlers.add("Shout", "Shout", function (msg) print("heard " .. msg.Data) end)')
  const shout = await send(process, { action: 'Shout', data: 'hello', from: 'bob' })
  await ao.result({ process, message: shout })
  const { json: page } = await ask(`/results/${process}?sort=DESC&limit=5`)
  const printed = page.edges.filter(({ node }) => node.Output?.print === true).map(({ node }) => node.Output.data)
  assert.ok(printed.some(text => /heard hello/.test(text)), JSON.stringify(printed))
})
