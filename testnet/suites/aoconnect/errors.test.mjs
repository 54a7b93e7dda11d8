// aoconnect does not look at the status of reads: every answer of every legacy route is JSON of the right shape, refusals too.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from '../lib/ao.mjs'
import { strangeId } from '../lib/items.mjs'
import { NODE, ask, assertRefused, graphql } from '../lib/node.mjs'

const id = strangeId('any')

test('unknown routes are 404 JSON', async () => {
  for (const path of ['/nothing/here', '/result', '/results', '/cu/nothing', '/su/processes', '/mu/monitor', '/result/a/b/c', '/%00', '/..%2f..%2fetc%2fpasswd']) {
    const answer = await ask(path)
    assertRefused(answer, { status: [400, 404, 405] })
  }
})

test('wrong methods are refused as JSON', async () => {
  for (const [method, path] of [['DELETE', '/'], ['PUT', `/result/${id}`], ['POST', `/results/${id}`], ['GET', '/dry-run'], ['PATCH', '/graphql'], ['GET', `/monitor/${id}`]]) {
    assertRefused(await ask(path, { method }), { status: [404, 405] })
  }
})

test('bodies of the wrong kind are refused as JSON', async () => {
  const post = (path, type, body) => ask(path, { method: 'POST', headers: { 'content-type': type }, body })
  const process = await spawn()
  assertRefused(await post(`/dry-run?process-id=${process}`, 'application/json', '{"Tags":'), { status: 400 })
  assertRefused(await post(`/dry-run?process-id=${process}`, 'application/json', ''), { status: 400 })
  assertRefused(await post(`/dry-run?process-id=${process}`, 'application/json', '['.repeat(10_000)), { status: [400, 413] })
  assertRefused(await post(`/monitor/${process}`, 'application/octet-stream', 'text'), { status: 400 })
  assertRefused(await post('/', 'application/json', '{}'), { status: [400, 415] })
})

test('a compressed body is refused or read, never swallowed', async () => {
  const { gzipSync } = await import('node:zlib')
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
  const answer = await ask('/', { method: 'POST', headers: { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' }, body: bomb })
  assertRefused(answer, { status: [400, 413, 415] })
})

test('a long URI and large headers are refused', async () => {
  const long = await ask('/' + 'a'.repeat(20_000))
  assert.ok([400, 404, 414, 431].includes(long.status), String(long.status))
  const headers = await ask('/', { headers: { 'x-large': 'a'.repeat(64 * 1024) } }).catch(error => ({ status: 0, error }))
  assert.ok([0, 400, 431].includes(headers.status), String(headers.status))
  assert.equal((await ask('/')).status, 200)
})

test('every unit lets browsers in', async () => {
  for (const path of ['/', '/mu/', '/su/', '/cu/', '/graphql', `/result/${id}?process-id=${id}`]) {
    const response = await fetch(NODE + path, { method: 'OPTIONS', headers: { origin: 'https://example.org', 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' } })
    assert.ok(response.status === 200 || response.status === 204, `${path}: ${response.status}`)
    assert.equal(response.headers.get('access-control-allow-origin'), '*')
  }
  const refused = await ask(`/result/${id}?process-id=${id}`, { headers: { origin: 'https://example.org' } })
  assert.equal(refused.headers.get('access-control-allow-origin'), '*', 'a refusal is readable too')
})

test('a slash at the end is accepted', async () => {
  const process = await spawn()
  for (const path of [`/result/${process}/?process-id=${process}`, `/results/${process}/`, '/timestamp/', `/processes/${process}/`, '/cu/', '/su/', '/mu/']) {
    assert.equal((await ask(path)).status, 200, path)
  }
})

test('health', async () => {
  for (const path of ['/health', '/livez', '/readyz', '/healthz']) assert.equal((await ask(path)).status, 200, path)
})

test('a request id comes back; native errors have code and doc', async () => {
  assert.ok((await ask('/')).headers.get('x-request-id'))
  const { status, json } = await ask(`/v1/processes/${id}`)
  assert.equal(status, 404)
  assert.match(json.error.code, /^AON-\d{4}$/)
  assert.equal(typeof json.error.message, 'string')
})

test('text that is no UTF-8 or tries to break out stays inside', async () => {
  for (const text of ['"}]}', '\\u0000', '{{', '${x}']) {
    const found = await graphql('query ($v: [String!]!) { transactions(tags: [{ name: "X", values: $v }]) { edges { node { id } } } }', { v: [text] })
    assert.deepEqual(found.transactions.edges, [])
  }
})
