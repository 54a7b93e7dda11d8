// Reads a schedule page by page and checks all that a reader can check: nonces without gap, strictly rising time, the hash chain
// computed here from the ids, and every signature. Written from the protocol, not from the node.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { ask } from './node.mjs'

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()
const raw = text => Buffer.from(text, 'base64url')

/** The value of a tag; undefined without it. */
export const valueOf = (tags, name) => tags.find(tag => tag.name === name)?.value

/** All edges of a schedule, read by nonce in pages of `limit`. */
export async function schedule (process, limit = 100) {
  const edges = []
  let from = -1
  for (;;) {
    const { status, json, text } = await ask(`/${process}?process-id=${process}&from-nonce=${from}&limit=${limit}`)
    assert.equal(status, 200, text)
    edges.push(...json.edges)
    if (!json.page_info.has_next_page) return edges
    assert.ok(json.edges.length > 0, 'a page with a next one is not empty')
    const last = Number(valueOf(json.edges.at(-1).node.assignment.tags, 'Nonce'))
    assert.ok(last > from, 'pages go forward')
    from = last
  }
}

/** Fails unless the edges are one whole, unbroken schedule of the process. */
export function assertChain (process, edges) {
  let chain = sha256(raw(process))
  let time = 0
  let height = 0
  const seen = new Set()
  edges.forEach(({ node: { message, assignment } }, nonce) => {
    const value = name => valueOf(assignment.tags, name)
    assert.equal(value('Process'), process)
    assert.equal(value('Nonce'), String(nonce), 'nonces have no gap')
    assert.equal(value('Hash-Chain'), chain.toString('base64url'), `hash chain at nonce ${nonce}`)
    assert.equal(sha256(raw(assignment.signature)).toString('base64url'), assignment.id, 'an id is the hash of a signature')
    assert.ok(Number(value('Timestamp')) > time, `time rises at nonce ${nonce}`)
    assert.match(value('Block-Height'), /^\d{12}$/)
    assert.ok(Number(value('Block-Height')) >= height, 'height does not fall')
    time = Number(value('Timestamp'))
    height = Number(value('Block-Height'))
    const id = value('Message') ?? process
    assert.equal(nonce === 0, value('Message') === undefined, 'only the process item has no Message tag')
    assert.ok(!seen.has(id), `${id} has two slots`)
    seen.add(id)
    if (message) assert.equal(message.id, id)
    chain = sha256(raw(assignment.id), chain)
  })
  return seen
}
