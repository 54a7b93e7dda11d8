// The same item as `cargo bench -p ao-types`, in the common JavaScript library, beside node's own bare RSA operation.
//
//   cd a-folder && npm i arbundles@0.11.2 && node <repository>/consensus/types/benches/arbundles.mjs [--write]
//
// `--write` makes the item anew (with a new key) and puts it beside this file.
import { createRequire } from 'node:module';
import { constants, createPublicKey, generateKeyPairSync, publicEncrypt } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';

const { ArweaveSigner, DataItem, createData } = createRequire(process.cwd() + '/')('arbundles');
const file = new URL('item-1kib.bin', import.meta.url);

if (process.argv.includes('--write')) {
  const signer = new ArweaveSigner(generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey.export({ format: 'jwk' }));
  const tags = { 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', Action: 'Eval', SDK: 'aoconnect' };
  const item = createData(Buffer.alloc(1024, 'x'), signer, {
    target: Buffer.alloc(32, 7).toString('base64url'),
    tags: Object.entries(tags).map(([name, value]) => ({ name, value })),
  });
  await item.sign(signer);
  writeFileSync(file, item.getRaw());
}

const bytes = readFileSync(file);
if (!(await DataItem.verify(bytes))) throw new Error('the item does not verify');
const owner = bytes.subarray(514, 1026);
const key = createPublicKey({ key: { kty: 'RSA', n: owner.toString('base64url'), e: 'AQAB' }, format: 'jwk' });
const signature = bytes.subarray(2, 514);

// CPU time of the whole process: the library may use helper threads.
async function fastest(rounds, batch, work) {
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < batch; i++) await work();
    const used = process.cpuUsage(start);
    times.push((used.user + used.system) / batch);
  }
  times.sort((a, b) => a - b);
  return times[Math.floor(rounds / 10)];
}

const bare = await fastest(60, 50, () => publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, signature));
const whole = await fastest(60, 50, async () => { if (!(await DataItem.verify(bytes))) throw new Error('refused'); });
console.log(`arbundles, node ${process.version}, ${cpus()[0].model}: parse and verify ${whole.toFixed(1)} µs CPU (${(1e6 / whole).toFixed(0)}/s), `
  + `bare RSA operation of node ${bare.toFixed(1)} µs, ratio ${(whole / bare).toFixed(2)}`);
