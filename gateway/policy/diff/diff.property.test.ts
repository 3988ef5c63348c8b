/**
 * The diff is sound: for random pairs of policies, each request that comes out differently is covered by a row (FR-048). What a row
 * covers is judged here by a matcher of its own, and how a request comes out by the gateway's own line.
 */

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { GatewayConfig } from '../../config/schema.ts'
import { readingsOf } from '../../http/target.ts'
import { type TestPolicy, tryPolicy } from '../../test/support/policy-text.ts'
import { personaOf } from '../people.ts'
import { simulate } from '../simulate.ts'
import { type DiffRow, diffPolicies } from './diff.ts'

const SEED = 20_261_121
const PAIRS = 120
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')

const segment = fc.constantFrom('a', 'b', 'B', ':x', '*')
const path = fc
  .tuple(fc.array(segment, { maxLength: 2 }), fc.boolean())
  .map(([segments, isTail]) => `/${[...new Set(segments)].join('/')}${isTail ? '/**' : ''}`.replace('//**', '/**'))
const pattern = fc.tuple(fc.constantFrom('', '', '', 'h.test', '*.test'), path).map(([host, text]) => `${host}${text}`)

const requirement = fc.constantFrom<object>(
  { role: 'editor' },
  { role: ['editor', 'admin'] },
  { role: 'reader', mfa: true },
  { scope: 'chat', with: ['token', 'key'] },
  { ip: '10.0.0.0/8' },
  { ip: ['10.0.0.0/8', '192.0.2.0/24'], role: 'reader' },
  { fresh: '5m' },
  { fresh: '1h' },
  { not: { role: 'reader' } },
  { any: [{ role: 'editor' }, { mfa: true }] },
  { any: [{ ip: '10.0.0.0/8' }, { role: 'editor' }] },
  { when: 'request.method == "GET" || user.id == "u_2"' },
  { with: 'key' },
)
const single = fc.oneof(fc.constantFrom('deny', 'public', 'optional', 'login'), requirement)
const access = fc.oneof(
  { weight: 3, arbitrary: single },
  {
    weight: 1,
    arbitrary: fc
      .record({ read: single, write: single, GET: single, DELETE: single, WEBSOCKET: single }, { requiredKeys: [] })
      .filter((map) => Object.keys(map).length > 0),
  },
)
const route = fc.record(
  {
    to: fc.constantFrom('web', 'api'),
    access,
    addPrefix: fc.constantFrom('/v2', '/v3'),
    timeout: fc.constantFrom('1s', '1m'),
    limit: fc.constantFrom('20/min per ip', 'none', '5/min per route'),
    alias: fc.constant(true),
  },
  { requiredKeys: ['to', 'access', 'alias'] },
)
const routes = fc.array(fc.tuple(pattern, route), { minLength: 1, maxLength: 6 })

type Routes = readonly (readonly [string, object])[]

/** What overlaps gets the line that the error prints, until nothing does. Null where that ends nowhere. */
function compiled(entries: Routes): TestPolicy | null {
  const map: Record<string, object> = Object.fromEntries(entries)
  for (let round = 0; round < 40; round += 1) {
    const read = tryPolicy({ ...POLICY, routes: map })
    if (!('issues' in read)) return read
    let isAdded = false
    for (const { cure } of read.issues) {
      const missing = /adding:\n\s*"?([^":\s]*(?::\d+)?\/[^"\s]*?)"?: \{/.exec(cure)?.[1]
      if (missing === undefined || missing in map) continue
      map[missing] = Object.values(map)[round % Object.keys(map).length]!
      isAdded = true
    }
    if (!isAdded) {
      const [first] = read.issues
      const [, culprit] = /^routes\.(.*)$/.exec(first!.path) ?? []
      if (culprit === undefined || !(culprit in map)) return null
      delete map[culprit]
      if (Object.keys(map).length === 0) return null
    }
  }
  return null
}

const POLICY = {
  version: 1,
  origin: 'http://books.test',
  keys: {},
  upstreams: { web: 'http://127.0.0.1:9000', api: { url: 'http://127.0.0.1:9001', identity: 'remote' } },
  people: {
    reader: { id: 'u_1', roles: ['reader'], signedIn: '2m ago' },
    editor: { id: 'u_2', roles: ['editor', 'reader'], mfa: true, signedIn: '20m ago' },
    admin: { id: 'u_3', roles: ['admin'], with: 'token', scopes: ['chat'] },
    robot: { key: 'robot-1', owner: 'reader', scopes: ['chat'] },
  },
}
const PEOPLE = ['nobody', ...Object.keys(POLICY.people)]

const request = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE', 'PROPFIND', 'WEBSOCKET'),
  host: fc.constantFrom('books.test', 'h.test', 'k.test', 'x.h.test'),
  path: fc.oneof(
    fc.array(fc.constantFrom('a', 'b', 'B', 'A', 'c'), { maxLength: 3 }).map((parts) => `/${parts.join('/')}`),
    fc.constantFrom('/a/', '/a//b', '/b/;x', '/%61', '/a%20', '/a./b', '/'),
  ),
  as: fc.constantFrom(...PEOPLE),
  from: fc.constantFrom('10.1.2.3', '192.0.2.1'),
})
type Request =
  fc.Arbitrary<unknown> extends never ? never : typeof request extends fc.Arbitrary<infer One> ? One : never

async function outcomeOf(policy: TestPolicy, { method, host, path: where, as, from }: Request): Promise<string> {
  const persona = personaOf(policy.config as GatewayConfig, policy.snapshot, as, NOW_MS)
  if (typeof persona === 'string') throw new Error(persona)
  const asked = { method, url: `http://${host}${where}`, from, atMs: NOW_MS, headers: {} }
  const { outcome, answer } = await simulate(policy.snapshot, persona, asked)
  if (outcome.kind !== 'forward') return `${Math.floor((answer?.status ?? 0) / 100)}xx`
  const { timeouts, limits } = outcome.route
  const texts = limits.map(({ text }) => text).sort()
  return JSON.stringify([outcome.upstream.id, outcome.path, timeouts, texts, outcome.headers])
}

/** In a way of its own: by text, without regard to case, as the most forgiving server would. */
function covers(row: DiffRow, { method, host, path: where }: Request): boolean {
  if (row.patterns.length === 0) return true
  const isRead = method === 'GET' || method === 'HEAD'
  const words = ['all methods', method, isRead ? 'read' : 'write']
  if (method === 'PROPFIND') words.push('other methods')
  if (!row.methods.some((one) => words.includes(one))) return false
  const spellings = [where, ...readingsOf(where)].map((text) => decodeURIComponent(text).toLowerCase())
  return row.patterns.some(({ pattern: text }) => {
    const slash = text.indexOf('/')
    const wanted = text.slice(0, slash) || 'books.test'
    const isHost = wanted.startsWith('*') ? host.replace(/^[^.]+/, '*') === wanted : host === wanted
    return (
      isHost && spellings.some((spelling) => matches(text.slice(slash).toLowerCase(), spelling.replace(/[;. ]+$/, '')))
    )
  })
}

function matches(wanted: string, where: string): boolean {
  const isTail = wanted.endsWith('/**')
  const parts = (isTail ? wanted.slice(0, -3) : wanted).split('/')
  const found = where.split('/')
  if (found.length < parts.length || (!isTail && found.length > parts.length)) return false
  return parts.every((part, at) => part === '*' || part === found[at])
}

test('[FR-048] every request that comes out differently is covered by a row', async () => {
  const seen = { pairs: 0, requests: 0, different: 0, rows: 0 }
  const many = fc.array(request, { minLength: 150, maxLength: 150, size: 'max' })
  await fc.assert(
    fc.asyncProperty(routes, routes, fc.nat(5), many, async (first, second, keep, requests) => {
      const [before, after] = [compiled(first), compiled([...first.slice(0, keep), ...second])]
      fc.pre(before !== null && after !== null)
      const { rows } = diffPolicies(before!, after!)
      seen.pairs += 1
      seen.rows += rows.length
      for (const one of requests) {
        seen.requests += 1
        const [was, is] = [await outcomeOf(before!, one), await outcomeOf(after!, one)]
        if (was === is) continue
        seen.different += 1
        const told = `${JSON.stringify(one)}\n${was}\n${is}\n${Object.keys(before!.config.routes).join(' ')}\n${Object.keys(after!.config.routes).join(' ')}`
        const telling = rows.filter((row) => covers(row, one))
        expect(telling.length, told).toBeGreaterThan(0)
        // Who is let in or kept out is told by a row that does not say the reverse.
        const [gotIn, getsIn] = [was.startsWith('['), is.startsWith('[')]
        const reverse = getsIn ? 'closed' : 'opened'
        if (gotIn !== getsIn)
          expect(
            telling.some(({ change }) => change !== reverse),
            told,
          ).toBe(true)
      }
    }),
    { seed: SEED, numRuns: PAIRS, endOnFailure: true },
  )
  expect(seen.different).toBeGreaterThan(1000)
  expect(seen.pairs).toBe(PAIRS)
  process.stdout.write(`${JSON.stringify({ seed: SEED, ...seen })}\n`)
}, 120_000)

test('[FR-048] a policy whose keys stand in another order differs in nothing', () => {
  const shuffled = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([key, item]) => [key, shuffled(item)]),
    )
  }
  fc.assert(
    fc.property(routes, (entries) => {
      const policy = compiled(entries)
      fc.pre(policy !== null)
      const texts = Object.fromEntries(entries.filter(([text]) => text in policy!.config.routes))
      const one = tryPolicy({ ...POLICY, routes: texts })
      const other = tryPolicy(shuffled({ ...POLICY, routes: texts }) as object)
      fc.pre(!('issues' in one) && !('issues' in other))
      if ('issues' in one || 'issues' in other) return
      expect(diffPolicies(one, other).rows).toEqual([])
    }),
    { seed: SEED, numRuns: PAIRS, endOnFailure: true },
  )
}, 60_000)
