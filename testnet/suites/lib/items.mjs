// Data items as other tools make them (arbundles), for what aoconnect itself would never send.
import { ArweaveSigner, EthereumSigner, SolanaSigner, createData } from 'arbundles'
import { createHash } from 'node:crypto'
import { jwk } from './wallets.mjs'

const signers = new Map()
/** The signer of a named wallet. */
export function signerOf (name) {
  if (!signers.has(name)) signers.set(name, new ArweaveSigner(jwk(name)))
  return signers.get(name)
}

/** A signed item: `{ id, raw }`. Protocol tags are the caller's. */
export async function item ({ signer = signerOf('alice'), data = ' ', tags = [], target, anchor } = {}) {
  const made = createData(data, signer, { tags, target, anchor })
  await made.sign(signer)
  return { id: made.id, raw: Buffer.from(made.getRaw()) }
}

export const tag = (name, value) => ({ name, value })

export const protocol = type => [tag('Data-Protocol', 'ao'), tag('Variant', 'ao.TN.1'), tag('Type', type)]

/** A signed message to a process. */
export const messageItem = ({ tags = [], ...rest }) => item({ ...rest, tags: [...tags, ...protocol('Message')] })

/** 43 characters that nothing has as its id. */
export const strangeId = seed => createHash('sha256').update('nothing ' + seed + ' ' + process.pid).digest('base64url')

export { EthereumSigner, SolanaSigner }
