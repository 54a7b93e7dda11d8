// Lets the suites say `import ... from '@permaweb/aoconnect'` although the packages live in the user's cache and not beside
// them: a bare name that is not found from the importing file is looked up from the folder AO_NPM names. Loaded by
// `node --import`.
import { register } from 'node:module'
import { pathToFileURL } from 'node:url'

const hooks = `
  let base
  export function initialize (data) { base = data.base }
  export async function resolve (name, context, next) {
    const bare = !name.startsWith('.') && !name.startsWith('/') && !name.includes(':')
    if (!bare || !base) return next(name, context)
    try { return await next(name, context) } catch { return next(name, { ...context, parentURL: base }) }
  }
`
const folder = process.env.AO_NPM
register('data:text/javascript,' + encodeURIComponent(hooks), {
  data: { base: folder ? pathToFileURL(folder + '/package.json').href : undefined }
})
