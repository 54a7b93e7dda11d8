// The stock libraries as judges of our chain: `arweave` posts, uploads in chunks and reads back; `arbundles` signs and verifies items.
import { before, test } from 'node:test'
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import arweaveModule from 'arweave'
import { ArweaveSigner, Bundle, bundleAndSignData, createData, DataItem, EthereumSigner } from 'arbundles'
import { NODE, ask, graphql, postItem, postJson, until } from '../lib/node.mjs'
import { jwk } from '../lib/wallets.mjs'

const Arweave = arweaveModule.default ?? arweaveModule
const { protocol, hostname: host, port } = new URL(NODE)
const arweave = Arweave.init({ protocol: protocol.replace(':', ''), host, port })
const key = jwk('alice')
let address

const dev = async (verb, body = {}) => {
  const answer = await postJson('/dev/' + verb, body)
  assert.equal(answer.status, 200, answer.text)
  return answer.json
}
const sha256 = bytes => createHash('sha256').update(bytes).digest('base64url')

before(async () => {
  address = await arweave.wallets.jwkToAddress(key)
  await dev('mint', { address, winston: '1000000000000000' })
})

test('wallets, price, anchor, network', async () => {
  assert.ok(BigInt(await arweave.wallets.getBalance(address)) > 0n)
  assert.ok(BigInt(await arweave.transactions.getPrice(1000)) > 0n)
  assert.equal((await arweave.transactions.getTransactionAnchor()).length, 64)
  const info = await arweave.network.getInfo()
  const block = await arweave.blocks.getCurrent()
  assert.equal(info.current, block.indep_hash)
  assert.equal((await arweave.blocks.get(block.indep_hash)).height, info.height)
})

// 256 KiB and one byte, an exact multiple, and sizes whose last chunks are balanced.
for (const size of [0, 1, 262143, 262144, 262145, 524288, 900001]) {
  test(`a transaction of ${size} bytes is posted, mined, read back and verified`, async () => {
    const data = randomBytes(size)
    const target = size === 0 ? sha256('somebody') : undefined
    const fields = size === 0 ? { target, quantity: '1000' } : { data }
    const tx = await arweave.createTransaction(fields, key)
    if (size > 0) tx.addTag('Content-Type', 'application/x-test')
    await arweave.transactions.sign(tx, key)
    if (size === 0) {
      assert.equal((await arweave.transactions.post(tx)).status, 200)
    } else {
      const uploader = await arweave.transactions.getUploader(tx)
      while (!uploader.isComplete) {
        await uploader.uploadChunk()
        assert.ok([200, 208].includes(uploader.lastResponseStatus), `${uploader.lastResponseStatus} ${uploader.lastResponseError}`)
      }
    }
    assert.equal((await arweave.transactions.getStatus(tx.id)).status, 202)
    await dev('mine')
    const status = await arweave.transactions.getStatus(tx.id)
    assert.equal(status.confirmed.number_of_confirmations, 1)
    const read = await arweave.transactions.get(tx.id)
    assert.equal(await arweave.transactions.verify(read), true)
    if (size > 0) {
      const back = await arweave.transactions.getData(tx.id, { decode: true })
      assert.equal(sha256(back), sha256(data))
      assert.equal((await ask('/' + tx.id)).headers.get('content-type'), 'application/x-test')
    } else {
      assert.equal(await arweave.wallets.getBalance(target), '1000')
    }
    assert.equal(await arweave.wallets.getLastTransactionID(address), tx.id)
  })
}

test('data that is attached and cut in another way is refused as by a real node', async () => {
  const tx = await arweave.createTransaction({ data: randomBytes(262145) }, key)
  await arweave.transactions.sign(tx, key)
  const answer = await postJson('/tx', tx.toJSON())
  assert.deepEqual([answer.status, answer.text], [400, 'The attached data is split in an unknown way.'])
})

test('a bundle of arbundles is unbundled, found, and every item verifies from its bytes', async () => {
  const signer = new ArweaveSigner(key)
  const ethereum = new EthereumSigner('11'.repeat(32))
  const label = randomBytes(8).toString('hex')
  const items = [1, 2, 3].map(n => createData(`item ${n}`, n === 2 ? ethereum : signer, { tags: [{ name: 'Suite', value: label }, { name: 'N', value: `${n}` }] }))
  await items[1].sign(ethereum)
  const inner = await bundleAndSignData([items[2]], signer)
  const nested = createData(inner.getRaw(), signer, { tags: [{ name: 'Bundle-Format', value: 'binary' }, { name: 'Bundle-Version', value: '2.0.0' }] })
  const bundle = await bundleAndSignData([items[0], items[1], nested], signer)
  const tx = await bundle.toTransaction({}, arweave, key)
  await arweave.transactions.sign(tx, key)
  assert.equal((await arweave.transactions.post(tx)).status, 200)
  await dev('mine')
  const query = `query ($label: String!) { transactions(tags: [{ name: "Suite", values: [$label] }], sort: HEIGHT_ASC) {
    pageInfo { hasNextPage } edges { cursor node { id owner { address key } signature tags { name value } data { size } block { height } bundledIn { id } } } } }`
  const { transactions: { edges } } = await graphql(query, { label })
  assert.deepEqual(edges.map(edge => edge.node.id), items.map(item => item.id))
  assert.deepEqual(edges.map(edge => edge.node.bundledIn.id), [tx.id, tx.id, nested.id])
  assert.equal(edges[0].node.owner.address, address)
  // The root's bytes, the item out of them, and its signature.
  const root = new Bundle(Buffer.from(await (await fetch(`${NODE}/raw/${tx.id}`)).arrayBuffer()))
  assert.equal(await root.verify(), true)
  for (const item of root.items) assert.equal(await DataItem.verify(item.getRaw()), true)
  for (const [index, item] of items.entries()) assert.equal((await ask('/raw/' + item.id)).text, `item ${index + 1}`)
})

test('the bundling service takes an item, its receipt names it, and the next block has it', async () => {
  const signer = new ArweaveSigner(key)
  const item = createData(randomBytes(100), signer, { tags: [{ name: 'Kind', value: 'upload' }] })
  await item.sign(signer)
  const answer = await postItem(item.getRaw(), '/v1/tx/arweave')
  assert.equal(answer.status, 200, answer.text)
  assert.equal(answer.json.id, item.id)
  const crypto = Arweave.crypto
  const { deepHash } = await import('arbundles')
  const { id, deadlineHeight, timestamp, version, public: owner, signature } = answer.json
  const signed = await deepHash(['Bundlr', version, id, `${deadlineHeight}`, `${timestamp}`].map(text => Buffer.from(text)))
  assert.equal(await crypto.verify(owner, signed, Buffer.from(signature, 'base64url')), true)
  await dev('mine')
  await until('the item is in a block', async () => (await ask(`/v1/tx/${item.id}/status`)).json?.status === 'FINALIZED')
})

test('a transaction of a dead branch is posted again, as the same bytes', async () => {
  const tx = await arweave.createTransaction({ data: 'again and again', last_tx: (await arweave.blocks.getCurrent()).previous_block }, key)
  await arweave.transactions.sign(tx, key)
  assert.equal((await arweave.transactions.post(tx)).status, 200)
  // The library calls both a success; the node says which it is.
  assert.equal((await postJson('/tx', tx.toJSON())).status, 208)
  await dev('mine')
  await dev('reorg', { depth: 1, keep: 'none' })
  assert.equal((await arweave.transactions.getStatus(tx.id)).status, 404)
  assert.equal((await arweave.transactions.post(tx)).status, 200)
  await dev('mine', { n: 3 })
  assert.equal((await arweave.transactions.getStatus(tx.id)).confirmed.number_of_confirmations, 3)
})
