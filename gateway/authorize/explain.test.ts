/** Explanations: that they say what `authorize` decides, whatever is asked of whomever, and that they show no more than they should. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileNetworks } from '../http/address.ts'
import { ALLOW, type Finding, type Principal } from '../model.ts'
import type { Access, Check, PolicyFacts } from '../rules.ts'
import { ALICE, FACTS, HEAD, NOW_MS, nested, required } from '../test/support/access.ts'
import { authorize } from './authorize.ts'
import { explainAccess } from './explain.ts'
import { compileCondition } from './when.ts'

const WORDS = ['a', 'b', 'c']
const some = fc.subarray(WORDS, { minLength: 1 })
const perhaps = fc.subarray(WORDS)
const scalar = fc.constantFrom<string | number | boolean>('a', 'b', 1, 2, true, false)
const SOURCES = [
  'user.id == "u_1"',
  'user.email != "a@b"',
  'user.claims.x == "a"',
  'params.user == user.id',
  'user.mfa',
]

function condition(source: string): Check {
  const scope = {
    params: ['user'],
    claims: ['x'],
    isPathExact: false,
    allowUnverifiedEmail: false,
    reservedNames: new Set(''),
  }
  const compiled = compileCondition(source, scope)
  if (typeof compiled !== 'function') throw new Error(compiled.error)
  return { kind: 'when', source, condition: compiled }
}

const CONDITIONS = SOURCES.map(condition)
const ip = (networks: readonly string[]): Check => ({ kind: 'ip', networks, contains: compileNetworks(networks) })
const credentials = fc.subarray(['session', 'token', 'key'] as const, { minLength: 1 })

const { checks } = fc.letrec<{ check: Check; checks: Check[] }>((tie) => ({
  checks: fc.array(tie('check'), { maxLength: 3 }),
  check: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(ip(['10.0.0.0/8']), ip(['2001:db8::/32', '192.0.2.1'])),
    credentials.map((anyOf): Check => ({ kind: 'with', anyOf })),
    fc.tuple(fc.constantFrom('role', 'scope', 'group', 'email'), some).map(([kind, anyOf]): Check => ({ kind, anyOf })),
    fc.array(scalar, { minLength: 1, maxLength: 2 }).map((anyOf): Check => ({ kind: 'claim', name: 'x', anyOf })),
    fc.constantFrom(...CONDITIONS),
    fc.constant<Check>({ kind: 'mfa' }),
    fc.constantFrom(1000, 900_000).map((maxAgeMs): Check => ({ kind: 'fresh', maxAgeMs })),
    tie('checks').map((of): Check => ({ kind: 'not', of: nested(...of) })),
    fc
      .array(tie('checks'), { maxLength: 2 })
      .map((of): Check => ({ kind: 'any', of: of.map((one) => nested(...one)) })),
  ),
}))

const access: fc.Arbitrary<Access> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.constantFrom<Access>({ kind: 'deny' }, { kind: 'public' }, { kind: 'optional' }, { kind: 'login' }),
  },
  {
    weight: 8,
    arbitrary: fc.tuple(checks, fc.boolean(), fc.boolean()).map(([of, needsPrincipal, isBare]): Access => {
      return { ...(isBare ? nested(...of) : required(...of)), needsPrincipal }
    }),
  },
)

const principal = fc.option(
  fc
    .record({
      credential: fc.constantFrom('session', 'token', 'key'),
      roles: perhaps,
      scopes: perhaps,
      groups: perhaps,
      email: fc.option(fc.constantFrom(...WORDS)),
      emailVerified: fc.boolean(),
      claims: fc.oneof(fc.constant({}), fc.record({ x: fc.oneof(scalar, fc.array(scalar, { maxLength: 2 })) })),
      authenticatedAtMs: fc.option(fc.constantFrom(NOW_MS, NOW_MS - 60_000, NOW_MS + 3_600_000)),
      hasSecondFactor: fc.boolean(),
    })
    .map((more): Principal => ({ ...ALICE, ...more })),
)

const facts = fc
  .constantFrom('10.1.2.3', '192.0.2.1', '2001:db8::1', 'unknown')
  .map((clientAddress): PolicyFacts => ({ ...FACTS, head: { ...HEAD, clientAddress } }))

function keysOf(findings: readonly Finding[]): readonly string[] {
  return findings.flatMap(({ key, verdict, of }) => [`${key} ${verdict}`, ...keysOf(of)])
}

test('[FR-047] whoever is let in has met every finding, and whoever is not has not', () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(access, principal, facts, fc.boolean(), (asked, who, what, allowUnverified) => {
      const findings = explainAccess(asked, who, what, allowUnverified)
      for (const key of keysOf(findings)) seen.add(key)
      const isLetIn = authorize(asked, who, what, allowUnverified) === ALLOW
      seen.add(`${asked.kind} ${isLetIn}`)
      expect(findings.every(({ verdict }) => verdict === 'met')).toBe(isLetIn)
    }),
    { numRuns: 5000 },
  )
  for (const key of ['role', 'scope', 'group', 'email', 'claim', 'when', 'fresh', 'any', 'not', 'ip']) {
    expect([...seen]).toEqual(expect.arrayContaining([`${key} met`, `${key} unmet`, `${key} unknown`]))
  }
  for (const key of ['with', 'mfa']) expect([...seen]).toEqual(expect.arrayContaining([`${key} met`, `${key} unmet`]))
  expect([...seen]).toEqual(
    expect.arrayContaining(['require true', 'require false', 'mfa skipped', 'all met', 'all unmet']),
  )
})

/** As lines: what was needed, what was had, how it came out. */
function told(asked: Access | null, who: Principal | null, what = FACTS): readonly string[] {
  const lines = (findings: readonly Finding[], indent: string): readonly string[] =>
    findings.flatMap(({ key, needed, had, verdict, of }) => [
      `${indent}${key} | ${needed} | ${had} | ${verdict}`,
      ...lines(of, `${indent}  `),
    ])
  return lines(explainAccess(asked, who, what, false), '')
}

test('[FR-047] all that is missing is shown, not only the first', () => {
  const asked = required(
    { kind: 'role', anyOf: ['admin', 'owner'] },
    { kind: 'claim', name: 'department', anyOf: ['eng', 'ops'] },
    { kind: 'mfa' },
    { kind: 'fresh', maxAgeMs: 300_000 },
  )
  expect(told(asked, ALICE)).toEqual([
    'login | somebody | somebody | met',
    'with | session or token | session | met',
    'role | admin or owner | editor | unmet',
    'claim | department eng or ops | nothing | unknown',
    'mfa | a second factor | none | unmet',
    'fresh | a sign-in within 5m | a sign-in 10m ago | unmet',
  ])
})

test('[FR-047] of nobody only what can be told is told', () => {
  const asked: Access = {
    ...required({ kind: 'any', of: [nested(ip(['10.0.0.0/8'])), nested({ kind: 'mfa' })] }),
  }
  expect(told({ ...asked, checks: [ip(['192.0.2.0/24', '2001:db8::/32']), ...asked.checks] }, null)).toEqual([
    'ip | 192.0.2.0/24 or 2001:db8::/32 | 10.1.2.3 | unmet',
    'login | somebody | nobody | unmet',
    'with | session or token | no credential | skipped',
    'any | one of these | nobody | skipped',
    '  ip | 10.0.0.0/8 | 10.1.2.3 | met',
    '  mfa | a second factor | nobody | skipped',
  ])
})

test('[FR-047] branches and their opposites are shown whole', () => {
  const asked = required(
    { kind: 'not', of: nested({ kind: 'role', anyOf: ['editor'] }, { kind: 'mfa' }) },
    { kind: 'any', of: [nested({ kind: 'role', anyOf: ['x'] }, { kind: 'mfa' }), nested(condition('user.mfa'))] },
  )
  expect(told(asked, ALICE).slice(2)).toEqual([
    'not | not all of this | not all of it | met',
    '  role | editor | editor | met',
    '  mfa | a second factor | none | unmet',
    'any | one of these | none of them | unmet',
    '  all | all of these |  | unmet',
    '    role | x | editor | unmet',
    '    mfa | a second factor | none | unmet',
    '  when | user.mfa | false | unmet',
  ])
})

test('[FR-047] a condition that cannot be told names the facts about the caller that are missing', () => {
  const stranger: Principal = { ...ALICE, emailVerified: false, authenticatedAtMs: null }
  const asked = required(condition('user.email != "a" && user.claims.x == user.name'))
  expect(told(asked, stranger).at(-1)).toBe(
    'when | user.email != "a" && user.claims.x == user.name | cannot be told: no user.email, no user.claims.x | unknown',
  )
  expect(told(required({ kind: 'email', anyOf: ['alice@example.com'] }), stranger).at(-1)).toBe(
    'email | alice@example.com | Alice@example.com, which is not verified | unknown',
  )
  expect(told(required({ kind: 'fresh', maxAgeMs: 1000 }), stranger).at(-1)).toContain('no known time of sign-in')
})

test('[FR-047] the words have explanations too, and so has a method that is not listed', () => {
  expect(told({ kind: 'public' }, null)).toEqual([])
  expect(told({ kind: 'deny' }, ALICE)).toEqual(['deny | nobody | somebody | unmet'])
  expect(told({ kind: 'optional' }, null)).toEqual(['with | session or token | no credential | met'])
  expect(told({ kind: 'login' }, { ...ALICE, credential: 'key' })).toEqual([
    'login | somebody | somebody | met',
    'with | session or token | key | unmet',
  ])
  expect(told(null, null)).toEqual(['method | a method the route lists | GET | unmet'])
  expect(told(null, null, { ...FACTS, head: { ...HEAD, isUpgrade: true } })[0]).toContain('WEBSOCKET')
})

test('[FR-047] what a strange issuer wrote is cut short and moves no cursor; no credential is shown', () => {
  const groups = [...Array.from({ length: 99 }, (_, at) => `g${at}`), '\u001b[2J\u202e', 'x'.repeat(1000)].toReversed()
  const [line = ''] = told(required({ kind: 'group', anyOf: ['x'] }), { ...ALICE, groups }).slice(-1)
  expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  expect(line).toContain('?[2J?')
  expect(line).toContain('and 85 more')
  expect(line.length).toBeLessThan(400)
  const all = told(required(condition('request.headers["x-a"] == "3" && request.query["y"] == "4"')), ALICE).join('\n')
  expect(all).not.toMatch(/Bearer|session_token|two/)
})

test('[FR-051] a list of thousands costs a refusal no more than a short one: it is told in part', () => {
  const emails = Array.from({ length: 5_000 }, (_, at) => `person-${at}@example.com`)
  const asked = required({ kind: 'email', anyOf: emails })
  const email = explainAccess(asked, ALICE, FACTS, false).at(-1)
  expect(email!.needed).toMatch(/^person-0@example\.com, .*person-15@example\.com or one of 4984 more$/)
  expect(email!.needed.length).toBeLessThan(500)
})
