// Wallets made on the spot and kept in the folder AO_WALLETS, so that a run makes each of them once. Nothing here is secret:
// they own nothing outside the node under test.
import { generateKeyPairSync, createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { pathToFileURL } from 'node:url'

const folder = process.env.AO_WALLETS ?? join(tmpdir(), 'aonode-suite-wallets')

/** An RSA-4096 key as Arweave writes it. */
export function jwk (name) {
  const file = join(folder, name + '.json')
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 4096, publicExponent: 65537 })
    const unfinished = `${file}.${process.pid}`
    writeFileSync(unfinished, JSON.stringify(privateKey.export({ format: 'jwk' })), { mode: 0o600 })
    renameSync(unfinished, file)
  }
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** The address of a key: SHA-256 of its modulus. */
export const addressOf = key => createHash('sha256').update(Buffer.from(key.n, 'base64url')).digest('base64url')

/** A fresh Ed25519 key as Solana tools write it: 32 bytes of seed, then the public key. */
export function ed25519Pair () {
  const { d, x } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  return { secret: Buffer.concat([Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')]) }
}

/** The file of a wallet, for tools that want a path. */
export function walletFile (name) {
  jwk(name)
  return join(folder, name + '.json')
}

// `node wallets.mjs alice bob` makes them ahead of a parallel run.
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.argv.slice(2).forEach(jwk)
