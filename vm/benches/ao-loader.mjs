// CPU per message of the reference loader (npm @permaweb/ao-loader) with the same module and message as benches/aos.rs.
//   node --experimental-wasm-memory64 vm/benches/ao-loader.mjs
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const modules = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'aonode/modules');
const AoLoader = createRequire(import.meta.url)(path.join(modules, 'ao-loader.cjs'));
const data = path.join(import.meta.dirname, '../tests/data/messages.json');
const { environment, messages } = JSON.parse(fs.readFileSync(data));
const handle = await AoLoader(fs.readFileSync(path.join(modules, 'aos2_0_6.wasm')), {
  format: 'wasm64-unknown-emscripten-draft_2024_02_15', inputEncoding: 'JSON-1', outputEncoding: 'JSON-1',
  memoryLimit: '17179869184', computeLimit: '9000000000000',
});
const message = (code) => ({ ...messages[1], Data: code });
let memory = (await handle(null, messages[0], environment)).Memory;
memory = (await handle(memory, message('Counter = 0'), environment)).Memory;
const step = async () => { memory = (await handle(memory, message('Counter = Counter + 1; return Counter'), environment)).Memory; };
for (let i = 0; i < 10; i++) await step();
const ROUNDS = 40;
const before = process.cpuUsage();
for (let i = 0; i < ROUNDS; i++) await step();
const { user, system } = process.cpuUsage(before);
process.stdout.write(`cpu_ms ${((user + system) / 1000 / ROUNDS).toFixed(3)}\n`);
