/** Policies on disk: which files were read, what their version covers, and what tools are told where secrets are unset. */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadForTools, loadPolicy, readPolicyFile } from './config-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-policy-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
mkdirSync(join(folder, 'routes/.hidden'), { recursive: true })

const MAIN = `version: 1
origin: http://localhost:8080
include: ["routes/**/*.yaml", "*.yaml"]
store: { secret: "\${env:POSTERN_SECRET?}" }
upstreams: { web: "http://\${env:WEB}" }
routes: { /**: { to: web, access: login } }
`
const file = join(folder, 'gateway.yaml')
const books = join(folder, 'routes/books.yaml')
const people = join(folder, 'people.yaml')
writeFileSync(people, 'people: { alice: {} }\n')
writeFileSync(file, MAIN)
writeFileSync(books, 'routes: { /books/**: { to: web, access: login } }\n')
writeFileSync(join(folder, 'routes/.hidden/x.yaml'), 'not: a policy\n')

const AS_WRITTEN = { port: null, upstreamUrl: null }
const load = () => loadPolicy(readPolicyFile(file), { WEB: '127.0.0.1:9000' }, AS_WRITTEN)

test('[FR-045] every file that was read is named, and none is read twice or from a hidden folder', () => {
  const { files, snapshot } = load()
  expect(files).toEqual([file, people, books])
  expect(snapshot.routes.find('localhost:8080', '/books/1')?.route.place).toBe('routes/books.yaml:1')
})

test('[FR-045] the version changes with any of the files; of a single one it is its own SHA-256', () => {
  const before = load().snapshot.version
  writeFileSync(books, 'routes: { /books/**: { to: web, access: public } }\n')
  expect(load().snapshot.version).not.toBe(before)
  const single = { text: MAIN.replace(/^include.*\n/m, ''), file }
  const { version } = loadPolicy(single, { WEB: '127.0.0.1:9000' }, AS_WRITTEN).snapshot
  expect(version).toBe(createHash('sha256').update(single.text).digest('hex'))
})

test('[FR-045] tools read a policy where its variables are unset, and the gateway does not', () => {
  const policy = loadForTools(file, {})
  expect(policy.unset).toEqual(['WEB'])
  expect(policy.config.store.secrets).toEqual([])
  expect(() => loadPolicy(readPolicyFile(file), {}, AS_WRITTEN)).toThrow('the variable WEB is not set')
})
