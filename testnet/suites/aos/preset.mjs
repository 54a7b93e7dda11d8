// What `@permaweb/aos` 1.2.18 leaves to its surroundings. Its SDK takes the units from globals and asks for the scheduler under a fixed
// public name; an operator gives the first as here and answers the second with a line in a hosts file or proxy. The tool is unchanged.
import '../lib/router.mjs'

globalThis.MU_URL = process.env.AO_NODE
globalThis.CU_URL = process.env.AO_NODE
globalThis.GATEWAY_URL = process.env.AO_NODE
