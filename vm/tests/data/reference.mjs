// Writes what the reference loader (npm @permaweb/ao-loader) answers to the messages of messages.json: the expected answers of
// tests/conformance.rs. Run by hand when messages change:
//   .ci/modules && node --experimental-wasm-memory64 vm/tests/data/reference.mjs
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const here = import.meta.dirname;
const modules = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'aonode/modules');
const AoLoader = createRequire(import.meta.url)(path.join(modules, 'ao-loader.cjs'));
const { environment, messages } = JSON.parse(fs.readFileSync(path.join(here, 'messages.json')));

for (const [name, file, format] of [
  ['wasm64', 'aos2_0_6.wasm', 'wasm64-unknown-emscripten-draft_2024_02_15'],
  ['wasm32', 'aos2_0_4_32.wasm', 'wasm32-unknown-emscripten4'],
]) {
  const load = () => AoLoader(fs.readFileSync(path.join(modules, file)), {
    format, inputEncoding: 'JSON-1', outputEncoding: 'JSON-1', memoryLimit: '17179869184', computeLimit: '9000000000000',
  });
  let handle = await load();
  let memory = null;
  const answers = [];
  for (const message of messages) {
    let Memory, GasUsed, answer;
    try {
      ({ Memory, GasUsed, ...answer } = await handle(memory, message, environment));
    } catch (error) {
      // `ok: false` is thrown by the loader; the compute unit makes it an error.
      answer = { Error: String(error.message ?? error) };
    }
    // The rule of the compute unit: an evaluation with an error leaves the memory as it was.
    if (!answer.Error) memory = Memory;
    // A loader's memory never shrinks: after a failure that grew it, only a new one starts from the memory of before.
    else handle = await load();
    answers.push({ ...answer, length: memory ? memory.length : 0 });
  }
  fs.writeFileSync(path.join(here, `answers-${name}.json`), JSON.stringify(answers, null, 1) + '\n');
  console.log(name, answers.length, 'answers');
}
