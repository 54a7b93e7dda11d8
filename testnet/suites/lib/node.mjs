// The node under test: where it is, who it is, and plain requests to it. Everything comes from AO_NODE, so that the suites run
// against any node.
import assert from 'node:assert/strict'

if (!process.env.AO_NODE) throw new Error('AO_NODE must name the node under test, for example AO_NODE=http://127.0.0.1:7700')

/** Base address, without a slash at the end. */
export const NODE = process.env.AO_NODE.replace(/\/+$/, '')

/** One request; the answer with its body as text and, where it is JSON, parsed. */
export async function ask (path, { method = 'GET', headers = {}, body, base = NODE } = {}) {
  const started = performance.now()
  const response = await fetch(base + path, { method, headers, body })
  const text = await response.text()
  const type = response.headers.get('content-type') ?? ''
  let json
  if (type.includes('json')) json = JSON.parse(text)
  return { status: response.status, headers: response.headers, text, json, ms: performance.now() - started }
}

export const postItem = (raw, path = '/') =>
  ask(path, { method: 'POST', headers: { 'content-type': 'application/octet-stream', accept: 'application/json' }, body: raw })

export const postJson = (path, body, headers = {}) =>
  ask(path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })

/** GraphQL: data, or the failure of the test with what the gateway said. */
export async function graphql (query, variables) {
  const { status, json, text } = await postJson('/graphql', { query, variables })
  assert.equal(status, 200, `graphql: ${status} ${text}`)
  assert.ok(json.data, `graphql answered without data: ${text}`)
  return json.data
}

/** What legacy clients need of every refusal: a status that is no success and `{"error": text}`. */
export function assertRefused (answer, { status, match } = {}) {
  assert.ok(answer.status >= 400, `expected a refusal, found ${answer.status} ${answer.text}`)
  if (status !== undefined) assert.ok([status].flat().includes(answer.status), `expected status ${status}, found ${answer.status} ${answer.text}`)
  assert.ok(answer.json, `a refusal is JSON, found ${answer.headers.get('content-type')}: ${answer.text}`)
  assert.equal(typeof answer.json.error, 'string', `"error" is a text: ${answer.text}`)
  assert.ok(answer.json.error.length > 0, 'a refusal says why')
  if (match) assert.match(answer.json.error, match)
}

let known
/** Who the node is: `scheduler` (address of its schedule unit) and `messenger` (signs what it pushes). */
export function identity () {
  known ??= (async () => {
    const root = (await ask('/')).json
    assert.equal(typeof root?.address, 'string', 'GET / names the address of the scheduler')
    if (process.env.AO_AUTHORITY) return { scheduler: root.address, messenger: process.env.AO_AUTHORITY, module: process.env.AO_MODULE }
    const own = (await ask('/v1/identity')).json
    assert.equal(own.scheduler, root.address)
    return { scheduler: own.scheduler, messenger: own.authority, module: own.module }
  })()
  return known
}

/** Asks again until `probe` gives something, or fails saying what never came. */
export async function until (what, probe, { within = 30_000, every = 40 } = {}) {
  const deadline = performance.now() + within
  for (;;) {
    const found = await probe()
    if (found) return found
    if (performance.now() > deadline) assert.fail(`within ${within} ms there was never: ${what}`)
    await new Promise(resolve => setTimeout(resolve, every))
  }
}
