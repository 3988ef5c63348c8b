/**
 * Compiles the policy into gateway/workers/generated/policy.json, which the Worker embeds: no YAML and no schema at the edge.
 * Runs on Node as the build step of wrangler.toml; a bad policy ends it with every problem and exit code 1.
 */

import { createHash } from 'node:crypto'
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { unsharedFault } from '../config/limits.ts'
import { formatIssues, readPolicy } from '../config/parse.ts'
import { unreachableFault } from '../config/tls-checks.ts'

const file = process.env['POSTERN_CONFIG'] ?? 'config/gateway.yaml'
const folder = dirname(file)
const read = readPolicy(
  readFileSync(file, 'utf8'),
  {
    file,
    readEnv: (name) => process.env[name],
    readFile: (path) => readFileSync(resolve(folder, path), 'utf8'),
    listFiles: (glob) => globSync(glob, { cwd: folder }),
  },
  (text) => createHash('sha256').update(text).digest('hex'),
)
if ('issues' in read) {
  process.stderr.write(`${formatIssues(read.issues)}\n`)
  process.exit(1)
}
const { version } = read.snapshot
const unshared = unsharedFault(read.config)
if (unshared !== null) {
  process.stderr.write(`${file}: ${unshared}\n`)
  process.exit(1)
}
const unreachable = unreachableFault(read.config)
if (unreachable !== null) {
  process.stderr.write(`${file}: ${unreachable}\n`)
  process.exit(1)
}
const generated = join(import.meta.dirname, 'generated')
mkdirSync(generated, { recursive: true })
/** Stores, listeners and secrets belong to Node; the edge embeds none of them. */
const {
  store: _store,
  admin: _admin,
  people: _people,
  tests: _tests,
  include: _include,
  tls: _tls,
  tokens,
  ...config
} = read.config
const refused = [...Object.keys(tokens).map((name) => `tokens.${name}`), ...(config.keys === undefined ? [] : ['keys'])]
if (refused.length > 0) {
  const names = refused.map((name) => `\`${name}\``).join(', ')
  process.stderr.write(
    `${file}: the Worker refuses every credential of ${names} with 401: only Node verifies them so far\n`,
  )
}
/** Which claims the entries map is known to the routes' requirements; how to ask an issuer is a secret and stays here. */
const issuers = Object.entries(tokens).map(([name, { introspection: _introspection, ...entry }]) => [name, entry])
const embedded = { ...config, tokens: Object.fromEntries(issuers) }
writeFileSync(join(generated, 'policy.json'), `${JSON.stringify({ version, config: embedded }, null, 2)}\n`)
