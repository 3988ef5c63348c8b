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
/** Stores and their secrets belong to Node; the edge embeds none of them. */
const { store: _store, ...config } = parsed.config
writeFileSync(join(folder, 'policy.json'), `${JSON.stringify({ version, config }, null, 2)}\n`)
