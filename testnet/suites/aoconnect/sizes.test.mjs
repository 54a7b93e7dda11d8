// Large items: what fits goes through whole, what does not is refused before it costs anything.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { ao, evaluate, peek, signer, spawn, textOf } from '../lib/ao.mjs'
import { item, messageItem, protocol, tag } from '../lib/items.mjs'
import { ask, assertRefused, postItem } from '../lib/node.mjs'
import { schedule } from '../lib/schedule.mjs'

const MIB = 1024 * 1024

test('a message of 2 MB arrives whole', async () => {
  const process = await spawn()
  await evaluate(process, 'Handlers.add("Big", "Big", function (msg) print(#msg.Data .. " " .. msg.Data:sub(1, 5) .. msg.Data:sub(-5)) end)')
  const data = 'start' + 'x'.repeat(2 * MIB - 10) + 'stops'
  const message = await ao.message({ process, signer: signer(), tags: [tag('Action', 'Big')], data })
  assert.match(textOf(await ao.result({ process, message })), new RegExp(`${2 * MIB} startstops`))
  const { json } = await ask(`/${message}?process-id=${process}`)
  assert.equal(createHash('sha256').update(json.message.data).digest('hex'), createHash('sha256').update(data).digest('hex'))
})

test('binary data is kept; the schedule shows it with replacement characters, the gateway as it is', async () => {
  const process = await spawn()
  const data = Buffer.concat([Buffer.from('ok '), Buffer.from([0xff, 0xfe, 0x00, 0x80])])
  const { id, raw } = await messageItem({ target: process, data })
  assert.equal((await postItem(raw)).status, 202)
  const { json } = await ask(`/${id}?process-id=${process}`)
  assert.equal(json.message.data, new TextDecoder().decode(data))
  const response = await fetch(`${(await import('../lib/node.mjs')).NODE}/raw/${id}`)
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), data)
})

test('11 MB is refused with 413 and JSON, and the next message goes through', async () => {
  const process = await spawn()
  const { raw } = await messageItem({ target: process, data: randomBytes(11 * MIB) })
  assertRefused(await postItem(raw), { status: 413 })
  assert.equal((await schedule(process)).length, 1)
  await evaluate(process, '1')
})

test('a declared length above the limit is refused before the body is sent', async () => {
  const { NODE } = await import('../lib/node.mjs')
  const { connect } = await import('node:net')
  const { hostname, port } = new URL(NODE)
  const answer = await new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port || 80) })
    let text = ''
    socket.setEncoding('utf8').on('data', part => { text += part; if (text.includes('\r\n\r\n')) socket.end() }).on('close', () => resolve(text)).on('error', reject)
    socket.write(`POST / HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/octet-stream\r\nContent-Length: ${500 * MIB}\r\n\r\n`)
  })
  assert.match(answer, /^HTTP\/1\.1 413 /)
})

test('128 tags of full length pass, one more does not', async () => {
  const process = await spawn()
  const filler = Array.from({ length: 125 }, (_, n) => tag(`T${n}`, 'v'))
  assert.equal((await postItem((await item({ target: process, tags: [...protocol('Message'), ...filler] })).raw)).status, 202)
  let raw
  try {
    raw = (await item({ target: process, tags: [...protocol('Message'), ...filler, tag('One', 'more')] })).raw
  } catch { return } // the library refuses to make it: nothing left to send
  assertRefused(await postItem(raw), { status: 400 })
})

test('a process keeps 1 MB of state over messages', async () => {
  const process = await spawn()
  await evaluate(process, 'Blob = string.rep("a", 1024 * 1024)')
  await evaluate(process, 'Blob = Blob .. "b"')
  assert.equal(await peek(process, '#Blob'), String(MIB + 1))
})
