/** Identity as each convention writes it, to the letter, and what a stranger's words can make of it. */

import { expect, test } from 'vitest'
import type { IdentityPreset } from '../rules.ts'
import { principalOf } from '../test/support/principal.ts'
import { compileIdentity, DIALECTS, mapFault } from './identity.ts'
import { type IdentityLines, identityLines } from './identity-lines.ts'

const ada = principalOf('u_1', { email: 'ada@example.com', name: 'Ada', roles: ['admin'], groups: ['eng', 'ops'] })
const stranger = principalOf('ci:job-7', { source: 'ci', email: 'ada@example.com', name: 'Ada' })

const written = (preset: IdentityPreset, principal = ada) =>
  (identityLines(DIALECTS[preset], principal, false) as IdentityLines).lines

const conventions = [
  [
    'authentik',
    [
      ...['X-authentik-username', 'ada@example.com', 'X-authentik-uid', 'u_1', 'X-authentik-email', 'ada@example.com'],
      ...['X-authentik-name', 'Ada', 'X-authentik-groups', 'eng|ops', 'X-authentik-entitlements', 'admin'],
    ],
  ],
  [
    'pomerium',
    [
      ...['X-Pomerium-Claim-Sub', 'u_1', 'X-Pomerium-Claim-User', 'u_1', 'X-Pomerium-Claim-Email', 'ada@example.com'],
      ...['X-Pomerium-Claim-Name', 'Ada', 'X-Pomerium-Claim-Groups', 'eng,ops'],
    ],
  ],
  ['cloudflare', ['Cf-Access-Authenticated-User-Email', 'ada@example.com']],
  [
    'iap',
    [
      ...['X-Goog-Authenticated-User-Email', 'accounts.google.com:ada@example.com'],
      ...['X-Goog-Authenticated-User-ID', 'accounts.google.com:u_1'],
    ],
  ],
  [
    'kong',
    [
      ...['X-Consumer-ID', 'u_1', 'X-Consumer-Custom-ID', 'u_1', 'X-Consumer-Username', 'ada@example.com'],
      ...['X-Consumer-Groups', 'eng,ops'],
    ],
  ],
  ['basic', ['Authorization', `Basic ${btoa('ada@example.com:')}`]],
  ['none', []],
] as const
for (const [preset, lines] of conventions) {
  test(`[FR-044] ${preset} writes the names and forms its readers know`, () => expect(written(preset)).toEqual(lines))
}

test('[FR-044] a proof that another product signs is never imitated', () => {
  const names = Object.values(DIALECTS).flatMap(({ fields }) => fields.map(({ name }) => name))
  expect(names.filter((name) => /jwt|assertion/i.test(name))).toEqual([])
})

const loginFields = [
  ['authentik', 0],
  ['cloudflare', 0],
  ['iap', 0],
  ['kong', 2],
] as const
for (const [preset, field] of loginFields) {
  test(`[FR-044] ${preset}: whoever another issuer calls ada@example.com does not log in as ada`, () => {
    const lines = written(preset, stranger)
    expect(lines[2 * field + 1]!.replace('accounts.google.com:', '')).toBe(preset === 'kong' ? lines[1] : 'ci:job-7')
  })
}

test('[FR-044] basic: a colon in an id does not end the user name, and no two people share one', () => {
  const userOf = (subject: string) => {
    const [, value = ''] = written('basic', { ...stranger, subject, source: subject.split(':')[0]! })
    return atob(value.slice('Basic '.length)).split(':')[0]
  }
  expect(userOf('ci:job-7')).toBe('ci%3Ajob-7')
  expect(userOf('ci:admin')).not.toBe(userOf('ci:job-7'))
  expect(userOf('ci%3Ajob-7:x')).not.toBe(userOf('ci:job-7:x'))
})

test('[FR-044] a group that holds the separator of its preset is left out and counted', () => {
  const groups = ['a|admin', 'b,c', 'ops']
  const authentik = identityLines(DIALECTS.authentik, { ...ada, groups }, false) as IdentityLines
  expect(authentik.lines).toContain('b,c|ops')
  expect(authentik.droppedGroups).toBe(1)
  const kong = identityLines(DIALECTS.kong, { ...ada, groups }, false) as IdentityLines
  expect(kong.lines.at(-1)).toBe('a|admin|ops'.replace('|ops', ',ops'))
  expect(kong.droppedGroups).toBe(1)
})

test('[FR-044] a map carries claims that the issuer’s entry maps, with the separator it names, and nothing inherited', () => {
  const dialect = compileIdentity({
    'X-Department': { claim: 'claims.department', separator: null },
    'X-Teams': { claim: 'claims.teams', separator: '|' },
    'X-Level': { claim: 'claims.level', separator: null },
    'X-Nothing': { claim: 'claims.constructor', separator: null },
  })
  const claims = { department: 'R,D', teams: ['a', 'b|admin', 'c'], level: 7 }
  const { lines, droppedGroups } = identityLines(dialect, { ...ada, claims }, false) as IdentityLines
  expect(lines).toEqual(['X-Teams', 'a|c', 'X-Level', '7'])
  expect(droppedGroups).toBe(2)
})

const loginClaims = [
  ['id', true],
  ['login', true],
  ['email', true],
  ['name', false],
  ['roles', false],
  ['claims.preferred_username', false],
] as const
for (const [claim, isFit] of loginClaims) {
  test(`[FR-044] ${claim} ${isFit ? 'may' : 'may not'} stand where backends read a login name`, () => {
    for (const name of ['X-Remote-User', 'X-Username', 'X-User-Id', 'X-Login']) {
      expect(mapFault(name, claim) === null, name).toBe(isFit)
    }
    expect(mapFault('X-Department', claim)).toBeNull()
  })
}
