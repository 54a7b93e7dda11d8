// aoconnect as a user sets it up, and the few phrases the suites share.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, createDataItemSigner } from '@permaweb/aoconnect'
import { NODE, identity, postItem } from './node.mjs'
import { item, tag } from './items.mjs'
import { addressOf, jwk } from './wallets.mjs'

/** The client under test, unmodified, in the mode that legacy networks speak. */
export const ao = connect({ MODE: 'legacy', MU_URL: NODE, CU_URL: NODE, GATEWAY_URL: NODE, GRAPHQL_URL: NODE + '/graphql' })

const signers = new Map()
/** aoconnect's own signer of a named wallet. */
export function signer (name = 'alice') {
  if (!signers.has(name)) signers.set(name, createDataItemSigner(jwk(name)))
  return signers.get(name)
}

/** Real AOS builds and the embedded Lua machine: what a user can spawn. */
export const kinds = {
  lua: { format: null },
  'aos 64-bit': { file: 'aos2_0_6.wasm', format: 'wasm64-unknown-emscripten-draft_2024_02_15', memory: '1-gb' },
  'aos 32-bit': { file: 'aos2_0_4_32.wasm', format: 'wasm32-unknown-emscripten4', memory: '1-gb' }
}

/** What the suites spawn where the machine does not matter: AO_KIND runs them all on another one. */
export const KIND = process.env.AO_KIND ?? 'lua'

const uploads = new Map()
/** The id of the module of a kind; wasm files are uploaded through the gateway first. */
export function moduleOf (kind = KIND) {
  if (!uploads.has(kind)) uploads.set(kind, upload(kinds[kind]))
  return uploads.get(kind)
}

async function upload ({ file, format, memory }) {
  if (!file) return (await identity()).module
  assert.ok(process.env.AO_MODULES, 'AO_MODULES must name the folder of the AOS modules')
  return uploadModule(readFileSync(join(process.env.AO_MODULES, file)), format, memory)
}

/** Stores a module and gives its id. */
export async function uploadModule (data, format, memory = '64-mb', more = []) {
  const tags = [
    tag('Data-Protocol', 'ao'), tag('Variant', 'ao.TN.1'), tag('Type', 'Module'), tag('Module-Format', format),
    tag('Input-Encoding', 'JSON-V1'), tag('Output-Encoding', 'JSON-V1'), tag('Memory-Limit', memory), tag('Compute-Limit', '9000000000000'), ...more
  ]
  const { id, raw } = await item({ data, tags })
  const { status, text, json } = await postItem(raw, '/tx')
  assert.equal(status, 200, text)
  assert.equal(json.id, id)
  return id
}

/** Spawns with aoconnect; the node's messenger is trusted so that pushed messages have effect. */
export async function spawn ({ kind = KIND, module, tags = [], data, from = 'alice', trust = true } = {}) {
  const { scheduler, messenger } = await identity()
  return ao.spawn({
    module: module ?? await moduleOf(kind),
    scheduler,
    signer: signer(from),
    tags: [...(trust ? [tag('Authority', messenger)] : []), ...tags],
    data
  })
}

/** Sends with aoconnect, gives the message's id. */
export const send = (process, { action, tags = [], data, anchor, from = 'alice' } = {}) =>
  ao.message({ process, signer: signer(from), tags: action ? [tag('Action', action), ...tags] : tags, data, anchor })

/** Sends and waits for the result. */
export async function call (process, message) {
  const id = await send(process, message)
  return { id, ...(await ao.result({ process, message: id })) }
}

/** Lua evaluated by the owner; fails the test when the process says error. */
export async function evaluate (process, code, from = 'alice') {
  const result = await call(process, { action: 'Eval', data: code, from })
  assert.equal(result.Error ?? result.error, undefined, `Eval of ${code}: ${JSON.stringify(result)}`)
  return result
}

/** What a result printed or returned, without colours. */
export const textOf = result => {
  const output = typeof result.Output === 'string' ? result.Output : result.Output?.data?.output ?? result.Output?.data ?? ''
  // eslint-disable-next-line no-control-regex
  return String(output).replace(/\u001b\[[0-9;]*m/g, '')
}

/** A value of the process, read without a trace. */
export async function peek (process, expression, owner) {
  const result = await ao.dryrun({ process, Owner: owner ?? addressOf(jwk('alice')), data: `return ${expression}`, tags: [tag('Action', 'Eval')] })
  assert.equal(result.Error ?? result.error, undefined, `dry run of ${expression}: ${JSON.stringify(result)}`)
  return textOf(result)
}
