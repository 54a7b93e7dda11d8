// Signers other than Arweave's RSA keys.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import bs58 from 'bs58'
import { ao, evaluate, peek, spawn } from '../lib/ao.mjs'
import { EthereumSigner, SolanaSigner, messageItem, tag } from '../lib/items.mjs'
import { ask, assertRefused, postItem } from '../lib/node.mjs'
import { ed25519Pair } from '../lib/wallets.mjs'

const receiver = async () => {
  const process = await spawn()
  await evaluate(process, 'Handlers.add("Hi", "Hi", function (msg) Sender = msg.From end)')
  return process
}

test('ethereum: an item made by arbundles; From is the checksummed address', async () => {
  const process = await receiver()
  const signer = new EthereumSigner(randomBytes(32).toString('hex'))
  const { id, raw } = await messageItem({ signer, target: process, tags: [tag('Action', 'Hi')] })
  const { status, text } = await postItem(raw)
  assert.equal(status, 202, text)
  await ao.result({ process, message: id })
  const sender = await peek(process, 'Sender')
  assert.match(sender, /^0x[0-9a-fA-F]{40}$/)
  assert.match(sender, /[A-F]/, 'checksummed: not all lower case')
  const { json } = await ask(`/${id}?process-id=${process}`)
  assert.equal(json.message.owner.address, sender)
})

test('ethereum: through aoconnect with a signer of the caller\'s own', async () => {
  const process = await receiver()
  const key = new EthereumSigner(randomBytes(32).toString('hex'))
  const own = async create => {
    const bytes = await create({ type: 3, publicKey: key.publicKey, alg: 'ecdsa' })
    return { signature: await key.sign(bytes), address: 'unused' }
  }
  const message = await ao.message({ process, signer: own, tags: [tag('Action', 'Hi')] })
  await ao.result({ process, message })
  assert.match(await peek(process, 'Sender'), /^0x/)
})

test('ethereum: a process of its own, evaluated by it alone', async () => {
  const { identity } = await import('../lib/node.mjs')
  const { moduleOf } = await import('../lib/ao.mjs')
  const { item, protocol } = await import('../lib/items.mjs')
  const signer = new EthereumSigner(randomBytes(32).toString('hex'))
  const { scheduler } = await identity()
  const { id: process, raw } = await item({ signer, tags: [tag('Module', await moduleOf()), tag('Scheduler', scheduler), ...protocol('Process')] })
  assert.equal((await postItem(raw)).status, 202)
  const code = await messageItem({ signer, target: process, tags: [tag('Action', 'Eval')], data: 'Mine = Owner' })
  assert.equal((await postItem(code.raw)).status, 202)
  assert.equal((await ao.result({ process, message: code.id })).Error, undefined)
  const { json } = await ask(`/processes/${process}`)
  assert.match(json.owner.address, /^0x/)
  assert.equal(await peek(process, 'Mine', json.owner.address), json.owner.address)
})

test('ethereum: a tampered one is refused', async () => {
  const process = await receiver()
  const { raw } = await messageItem({ signer: new EthereumSigner(randomBytes(32).toString('hex')), target: process, data: 'x' })
  raw[raw.length - 1] ^= 1
  assertRefused(await postItem(raw), { status: 400 })
})

test('solana: an item made by arbundles', async () => {
  const process = await receiver()
  const { secret } = ed25519Pair()
  const signer = new SolanaSigner(bs58.encode(secret))
  const { id, raw } = await messageItem({ signer, target: process, tags: [tag('Action', 'Hi')] })
  const { status, text } = await postItem(raw)
  assert.equal(status, 202, text)
  assert.equal((await ao.result({ process, message: id })).Error, undefined)
  assert.match(await peek(process, 'tostring(Sender)'), /^[\w-]{32,44}$/)
})
