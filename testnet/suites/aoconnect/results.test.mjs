// Listing results: both directions, cursors, bounds.
import { before, test } from 'node:test'
import assert from 'node:assert/strict'
import { ao, call, evaluate, spawn, textOf } from '../lib/ao.mjs'
import { strangeId } from '../lib/items.mjs'
import { ask, assertRefused } from '../lib/node.mjs'

const COUNT = 12
let process
const decode = cursor => JSON.parse(Buffer.from(cursor, 'base64').toString())
// aoconnect keeps the edges of a page and drops the rest
const hasNext = async query => (await ask(`/results/${process}?${new URLSearchParams(query)}`)).json.pageInfo.hasNextPage
const numbers = page => page.edges.map(edge => textOf(edge.node))

before(async () => {
  process = await spawn()
  for (let n = 1; n <= COUNT; n++) await evaluate(process, `return ${n}`)
})

test('results: ascending from the boot, which is ordinate 0', async () => {
  const page = await ao.results({ process, limit: 100 })
  assert.equal(page.edges.length, COUNT + 1)
  assert.equal(await hasNext({ limit: 100 }), false)
  assert.equal(await hasNext({ limit: COUNT }), true)
  assert.equal(await hasNext({ limit: COUNT + 1 }), false)
  assert.deepEqual(page.edges.map(edge => decode(edge.cursor).ordinate), [...Array(COUNT + 1).keys()].map(String))
  assert.deepEqual(numbers(page).slice(1), [...Array(COUNT).keys()].map(n => String(n + 1)))
  assert.equal('GasUsed' in page.edges[1].node, false)
})

test('results: the cursor is padded base64 of timestamp, ordinate, cron and sort, in this order', async () => {
  const { edges } = await ao.results({ process, limit: 1, sort: 'DESC' })
  assert.match(edges[0].cursor, /^[A-Za-z0-9+/]+={0,2}$/)
  assert.equal(edges[0].cursor.length % 4, 0)
  const text = Buffer.from(edges[0].cursor, 'base64').toString()
  assert.match(text, new RegExp(`^\\{"timestamp":\\d{13},"ordinate":"${COUNT}","cron":null,"sort":"DESC"\\}$`))
})

test('results: pages of 5, ascending, hold everything once', async () => {
  const seen = []
  let from
  for (;;) {
    const page = await ao.results({ process, limit: 5, from })
    seen.push(...page.edges.map(edge => Number(decode(edge.cursor).ordinate)))
    assert.equal(await hasNext({ limit: 5, ...(from && { from }) }), page.edges.length === 5)
    if (page.edges.length < 5) break
    from = page.edges.at(-1).cursor
  }
  assert.deepEqual(seen, [...Array(COUNT + 1).keys()])
})

test('results: pages of 5, descending: back from `to`, which is inclusive', async () => {
  const seen = []
  let to
  for (;;) {
    const page = await ao.results({ process, sort: 'DESC', limit: 5, to })
    const ordinates = page.edges.map(edge => Number(decode(edge.cursor).ordinate))
    if (to) assert.equal(ordinates.shift(), seen.at(-1))
    seen.push(...ordinates)
    if (page.edges.length < 5) break
    to = page.edges.at(-1).cursor
  }
  assert.deepEqual(seen, [...Array(COUNT + 1).keys()].reverse())
  assert.equal(await hasNext({ sort: 'DESC', limit: 5 }), true)
})

test('results: after the newest there is nothing, then what is new (how aos and monitors poll)', async () => {
  const own = await spawn()
  await evaluate(own, 'return 1')
  const { edges } = await ao.results({ process: own, sort: 'DESC', limit: 1 })
  const path = `/results/${own}?from=${encodeURIComponent(edges[0].cursor)}&limit=1000`
  assert.deepEqual((await ask(path)).json.edges, [])
  await evaluate(own, 'return 2')
  await evaluate(own, 'return 3')
  // the sort inside the cursor wins over the query's
  for (const query of ['', '&sort=ASC']) assert.deepEqual((await ask(path + query)).json.edges.map(edge => textOf(edge.node)), ['3', '2'])
})

test('results: from is exclusive, to is inclusive', async () => {
  const { edges } = await ao.results({ process, limit: 100 })
  const page = await ao.results({ process, from: edges[3].cursor, to: edges[6].cursor })
  assert.deepEqual(page.edges.map(edge => decode(edge.cursor).ordinate), ['4', '5', '6'])
})

test('results: a bare timestamp serves as from', async () => {
  const { edges } = await ao.results({ process, limit: 100 })
  const page = await ao.results({ process, from: String(decode(edges[8].cursor).timestamp), limit: 100 })
  assert.deepEqual(page.edges.map(edge => decode(edge.cursor).ordinate), ['9', '10', '11', '12'])
})

test('results: those that ended in an error are left out', async () => {
  const own = await spawn()
  await evaluate(own, 'return "good"')
  await call(own, { action: 'Eval', data: 'error("bad")' })
  await evaluate(own, 'return "again"')
  assert.deepEqual(numbers(await ao.results({ process: own })).slice(1), ['good', 'again'])
})

test('results: 25 by default', async () => {
  const own = await spawn()
  for (let n = 0; n < 26; n++) await evaluate(own, `return ${n}`)
  const page = await ao.results({ process: own })
  assert.equal(page.edges.length, 25)
  assert.equal((await ask(`/results/${own}`)).json.pageInfo.hasNextPage, true)
})

test('results: an unknown process has none', async () => {
  const answer = await ask(`/results/${strangeId('process')}`)
  assert.equal(answer.status, 200)
  assert.deepEqual(answer.json.edges, [])
  assert.equal(answer.json.pageInfo.hasNextPage, false)
})

test('results: bounds that are none are refused as JSON', async () => {
  for (const query of ['from=%7B%7D', 'limit=none', 'limit=-1', 'sort=UP', `from=${'A'.repeat(400)}`]) {
    assertRefused(await ask(`/results/${process}?${query}`), { status: 400 })
  }
})
