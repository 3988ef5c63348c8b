/**
 * Compiles the policy into gateway/workers/generated/policy.json, which the Worker embeds: no YAML and no schema at the edge.
 * Runs on Node as the build step of wrangler.toml; a bad policy ends it with every problem and exit code 1.
 */

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compile } from '../config/compile.ts'
import { formatIssues, parsePolicy } from '../config/parse.ts'

const file = process.env['POSTERN_CONFIG'] ?? 'config/gateway.yaml'
const text = readFileSync(file, 'utf8')
const version = createHash('sha256').update(text).digest('hex')
const parsed = parsePolicy(text, {
  file,
  readEnv: (name) => process.env[name],
  readFile: (path) => readFileSync(path, 'utf8'),
})
const compiled = 'issues' in parsed ? parsed : compile(parsed.config, version, parsed.places)
if ('issues' in compiled || 'issues' in parsed) {
  process.stderr.write(`${formatIssues('issues' in compiled ? compiled.issues : [])}\n`)
  process.exit(1)
}
const folder = join(import.meta.dirname, 'generated')
mkdirSync(folder, { recursive: true })
/** Stores, listeners and secrets belong to Node; the edge embeds none of them. */
const { store: _store, admin: _admin, tokens, ...config } = parsed.config
const refused = [...Object.keys(tokens).map((name) => `tokens.${name}`), ...(config.keys === undefined ? [] : ['keys'])]
if (refused.length > 0) {
  const names = refused.map((name) => `\`${name}\``).join(', ')
  process.stderr.write(
    `${file}: the Worker refuses every credential of ${names} with 401: only Node verifies them so far\n`,
  )
}
writeFileSync(
  join(folder, 'policy.json'),
  `${JSON.stringify({ version, config: { ...config, tokens: {} } }, null, 2)}\n`,
)
