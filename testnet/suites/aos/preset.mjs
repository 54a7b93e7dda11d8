// What `@permaweb/aos` 1.2.18 leaves to its surroundings. Its SDK takes the units from globals and asks for the scheduler under a fixed
// public name; an operator gives the first as here and answers the second with a line in a hosts file or proxy. The tool is unchanged.
const node = process.env.AO_NODE
globalThis.MU_URL = node
globalThis.CU_URL = node
globalThis.GATEWAY_URL = node

const fixed = 'https://su-router.ao-testnet.xyz'
const direct = globalThis.fetch
globalThis.fetch = (url, options) => {
  const text = String(url?.url ?? url)
  return direct(text.startsWith(fixed) ? node + '/' + text.slice(fixed.length).replace(/^\//, '') : url, options)
}
