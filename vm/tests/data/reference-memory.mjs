// Writes what the reference loader (npm @permaweb/ao-loader) makes of the memory of aos 2.0.6, as digests: memory-wasm64.json, the expected
// values of src/machine/reference.rs. Run by hand when messages change:
//   .ci/modules && node --experimental-wasm-memory64 vm/tests/data/reference-memory.mjs
//
// One range counts as zero: what asyncify saved of the frames it unwound, in a block that is free again. Only a message that opens a file
// leaves one (the block begins with two pointers: behind themselves, and 40 MiB further). Our host allocates and frees the block as well,
// but unwinds nothing into it.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const SAMPLES = [0, 1, 7, 15, 31, 47, 56, 57, 64];
const SAVED_FRAMES = { message: 57, range: [69096608, 69099188] };
const PAGE = 4096;

const here = import.meta.dirname;
const modules = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'aonode/modules');
const AoLoader = createRequire(import.meta.url)(path.join(modules, 'ao-loader.cjs'));
const { environment, messages } = JSON.parse(fs.readFileSync(path.join(here, 'messages.json')));
const wasm = fs.readFileSync(path.join(modules, 'aos2_0_6.wasm'));

const ZERO = Buffer.alloc(PAGE);

// SHA-256 over index (u32 LE) and bytes of every page that is not zero.
function digest(memory, zeroed) {
  const bytes = Buffer.from(memory);
  for (const [from, to] of zeroed) bytes.fill(0, from, to);
  const hash = createHash('sha256');
  for (let at = 0; at < bytes.length; at += PAGE) {
    const page = bytes.subarray(at, at + PAGE);
    if (page.equals(ZERO)) continue;
    const index = Buffer.alloc(4);
    index.writeUInt32LE(at / PAGE);
    hash.update(index).update(page);
  }
  return hash.digest('hex');
}

const load = () => AoLoader(wasm, {
  format: 'wasm64-unknown-emscripten-draft_2024_02_15', inputEncoding: 'JSON-1', outputEncoding: 'JSON-1',
  memoryLimit: '17179869184', computeLimit: '9000000000000',
});
let handle = await load();
let memory = null;
const digests = [];
for (const [number, message] of messages.entries()) {
  let failed = false;
  try {
    const { Memory, Error } = await handle(memory, message, environment);
    failed = Boolean(Error);
    if (!failed) memory = Memory;
  } catch {
    failed = true;
  }
  if (failed) handle = await load();
  if (!SAMPLES.includes(number)) continue;
  const zeroed = number < SAVED_FRAMES.message ? [] : [SAVED_FRAMES.range];
  digests.push({ message: number, length: memory.length, digest: digest(memory, zeroed) });
}
fs.writeFileSync(path.join(here, 'memory-wasm64.json'), JSON.stringify(digests, null, 1) + '\n');
console.log(digests.length, 'digests');
