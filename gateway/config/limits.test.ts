/** Limits in the policy: the grammar, what is inherited and removed, what is refused and warned of, and what Workers cannot keep. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Limit } from '../rules.ts'
import { compile } from './compile.ts'
import { formatIssues } from './issues.ts'
import { unsharedFault } from './limits.ts'
import { parsePolicy } from './parse.ts'

const NOWHERE = {
  file: 'gateway.yaml',
  readEnv: (): undefined => undefined,
  readFile: (): string => {
    throw new Error('no such file')
  },
}

function policy(route: string, more = ''): string {
  return `version: 1
origin: http://localhost:8080
upstreams: { a: "http://127.0.0.1:9000" }
${more}
routes:
  /a: { to: a, access: login, ${route} }
`
}

function load(text: string) {
  const parsed = parsePolicy(text, NOWHERE)
  if ('issues' in parsed) return { issues: formatIssues(parsed.issues), warnings: '', config: null, snapshot: null }
  const compiled = compile(parsed.config, 'v', parsed.places)
  if ('issues' in compiled) {
    return { issues: formatIssues(compiled.issues), warnings: '', config: parsed.config, snapshot: null }
  }
  return {
    issues: '',
    warnings: formatIssues(compiled.warnings),
    config: parsed.config,
    snapshot: compiled.snapshot,
  }
}

function limitsOf(text: string): readonly Limit[] {
  const { issues, snapshot } = load(text)
  expect(issues).toBe('')
  return snapshot!.routes.find('localhost:8080', '/a')!.route.limits
}

const written = [
  ['limit: 20/min per user', '20/min per user', { kind: 'rate', per: 'user', rule: { burst: 20, intervalMs: 3000 } }],
  ['limit: 5/s per key', '5/s per key', { kind: 'rate', per: 'key', rule: { burst: 5, intervalMs: 200 } }],
  ['limit: 100/h per ip', '100/h per ip', { kind: 'rate', per: 'ip', rule: { burst: 100, intervalMs: 36_000 } }],
  ['limit: 007/h per route', '7/h per route', { kind: 'rate', per: 'route' }],
  ['limit: 5 connections per user', '5 connections per user', { kind: 'connections', max: 5 }],
  ['limit: 1 connections per ip', '1 connection per ip', { kind: 'connections', max: 1 }],
] as const
for (const [text, canonical, limit] of written) {
  test(`[FR-042] \`${text}\` is read as it is meant`, () => {
    expect(limitsOf(policy(text, 'keys: {}'))).toMatchObject([{ ...limit, text: canonical, id: `/a ${canonical}` }])
  })
}

for (const text of [
  '20/min',
  '20 per user',
  '20/m per user',
  '0/min per user',
  '0 connections per ip',
  '5 per min per ip',
]) {
  test(`[FR-042] \`limit: ${text}\` is refused`, () => {
    expect(load(policy(`limit: ${text}`)).issues).toMatch(/expected (a limit|at least 1)|a limit says whose/)
  })
}

test('[FR-042] a route adds to `defaults`, whose limits all routes count together; `none` removes them', () => {
  const defaults = 'defaults: { limit: 300/min per ip }'
  expect(limitsOf(policy('limit: [20/min per user]', defaults)).map(({ id }) => id)).toEqual([
    'defaults 300/min per ip',
    '/a 20/min per user',
  ])
  expect(limitsOf(policy('limit: none', defaults))).toEqual([])
})

const wrong = [
  ['limit: [20/min per user, 20/min per user]', '', '`20/min per user` stands twice'],
  ['limit: [7/min per user, 07/min per user]', '', '`7/min per user` stands twice'],
  ['limit: 20/min per key', '', '`keys` is absent'],
  ['body: 1KiB', 'defaults: { limit: [9/s per ip, 9/s per ip] }', '`9/s per ip` stands twice'],
  ['body: 1KiB', 'defaults: { limit: 9/s per key }', '`keys` is absent'],
] as const
for (const [route, more, message] of wrong) {
  test(`[FR-042] refused: ${route} ${more}`, () => {
    const { issues } = load(policy(route, more))
    expect(issues).toContain(message)
    expect(issues).toMatch(/gateway\.yaml:\d+:\d+/)
  })
}

const unwise = [
  ['limit: 9/s per ip', 'access: deny', '', 'nothing to limit'],
  ['limit: 9/s per user', 'access: public', '', 'counts by client address'],
  ['limit: 9/s per key', 'access: public', 'keys: {}', 'counts nothing there'],
  ['limit: 9/s per ip', 'access: login', 'defaults: { limit: 9/s per ip }', 'in `defaults` already'],
] as const
for (const [route, access, more, message] of unwise) {
  test(`[FR-042] warned of: ${route} with ${access} ${more}`, () => {
    const text = policy(route, more).replace('access: login', access)
    const { issues, warnings } = load(access === 'access: deny' ? text.replace('to: a, ', '') : text)
    expect(issues).toBe('')
    expect(warnings).toContain(message)
  })
}

const edge = [
  ['body: 1KiB', '', null],
  ['limit: 9/s per ip', '', 'routes./a.limit: `9/s per ip` cannot be counted exactly on Workers'],
  ['limit: none', 'defaults: { limit: 9/s per ip }', 'defaults.limit: `9/s per ip` cannot be counted exactly'],
  ['limit: 9/s per ip', 'limits: { approximate: true }', null],
  ['limit: 9 connections per ip', 'limits: { approximate: true }', '`9 connections per ip` cannot be kept on Workers'],
] as const
for (const [route, more, message] of edge) {
  test(`[FR-042] Workers and ${route} ${more}: ${message === null ? 'taken' : 'refused'}`, () => {
    const fault = unsharedFault(load(policy(route, more)).config!)
    if (message === null) expect(fault).toBeNull()
    else expect(fault).toContain(message)
  })
}

test('[FR-042] building a Worker from a policy whose limits it cannot keep ends with the reason and writes nothing', () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-limits-'))
  const file = join(folder, 'gateway.yaml')
  writeFileSync(file, policy('limit: 20/min per user'))
  const program = join(import.meta.dirname, '..', 'workers', 'compile-policy.ts')
  let failure: { status?: number; stderr?: string } = {}
  try {
    execFileSync(process.execPath, [program], {
      env: { ...process.env, POSTERN_CONFIG: file },
      encoding: 'utf8',
      stdio: 'pipe',
    })
  } catch (error) {
    failure = error as typeof failure
  }
  rmSync(folder, { recursive: true })
  expect(failure.status).toBe(1)
  expect(failure.stderr).toContain('`20/min per user` cannot be counted exactly on Workers')
  expect(failure.stderr).toContain('limits: { approximate: true }')
})
