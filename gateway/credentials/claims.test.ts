/** What a token of another issuer may say here: what its entry maps, whole and of a bounded size, and nothing else. */

import { describe, expect, test } from 'vitest'
import type { ForeignClaims } from '../jwt/foreign.ts'
import type { Principal } from '../model.ts'
import { NOW_MS } from '../test/support/credentials.ts'
import { claimReader } from './claims.ts'

const PATHS = { roles: 'roles', scopes: 'scope', groups: null, email: null, name: null }
const NO_MFA = { amr: [], acr: [] }

function read(
  claims: object,
  more: Readonly<Record<string, string>> = { x: 'x' },
  mfa: { amr: string[]; acr: string[] } = NO_MFA,
): Principal {
  const reader = claimReader({
    name: 'ci',
    issuer: 'https://ci.example.com',
    claims: { ...PATHS, more },
    roles: [],
    mfa,
  })
  const verified = { claims: { sub: 'job-7', exp: NOW_MS / 1000, ...claims }, kid: null } as ForeignClaims
  return reader.principalOf(verified, null)
}

describe('claims of the author’s own', () => {
  test('[FR-039] stand under the name the entry gives them, wherever the token keeps them', () => {
    const more = { department: 'org.department', level: '[https://example.com/level]', teams: 'teams', on: 'on' }
    const claims = { org: { department: 'eng' }, 'https://example.com/level': 3, teams: ['a', 1, true], on: false }
    expect(read({ ...claims, extra: 'x' }, more).claims).toEqual({
      department: 'eng',
      level: 3,
      teams: ['a', 1, true],
      on: false,
    })
    expect(read({ department: 'eng' }, more).claims).toEqual({})
    expect(read({ department: 'eng' }, {}).claims).toEqual({})
  })

  const list = (length: number) => Array.from({ length }, (_, at) => at)
  const taken: readonly (readonly [string, unknown])[] = [
    ['a text', 'x'.repeat(256)],
    ['a number', -1.5],
    ['the largest number that is one', Number.MAX_SAFE_INTEGER],
    ['a truth value', false],
    ['a list', list(64)],
    ['an empty list', []],
  ]
  for (const [title, value] of taken) {
    test(`[FR-039] ${title} is taken`, () => expect(read({ x: value }).claims).toEqual({ x: value }))
  }

  const left: readonly (readonly [string, unknown])[] = [
    ['nothing', null],
    ['an empty text', ''],
    ['a text too long', 'x'.repeat(257)],
    ['a number that is several', 2 ** 53],
    ['a number that is none', Number.NaN],
    ['a list too long, whole, or `not` would miss what is cut off', list(65)],
    ['a list with something else in it', ['a', { b: 1 }]],
    ['a list with an empty text in it', ['a', '']],
    ['a list in a list', [['a']]],
    ['a map', { a: 'b' }],
  ]
  for (const [title, value] of left) {
    test(`[FR-039] ${title} is left out`, () => expect(Object.hasOwn(read({ x: value }).claims, 'x')).toBe(false))
  }

  test('[FR-039] nobody can change them', () => {
    const { claims } = read({ x: ['a'] })
    expect(Object.isFrozen(claims)).toBe(true)
    expect(Object.isFrozen(claims['x'])).toBe(true)
    expect(Object.isFrozen(read({}, {}).claims)).toBe(true)
  })
})

test('[FR-039] a list of names that holds something else is missing as a whole, so that `not` never reads half of it', () => {
  const reader = claimReader({
    name: 'ci',
    issuer: 'https://ci.example.com',
    claims: { ...PATHS, groups: 'groups', more: {} },
    roles: [],
    mfa: NO_MFA,
  })
  const read = (value: unknown) => {
    const claims = { sub: 'job-7', exp: NOW_MS / 1000, groups: value, scope: value }
    const { groups, scopes } = reader.principalOf({ claims, kid: null } as unknown as ForeignClaims, null)
    return { groups, scopes }
  }
  for (const odd of [{ name: 'contractors' }, 7, true, ['contractors']]) {
    expect(read(['reader', odd]), JSON.stringify(odd)).toEqual({ groups: [], scopes: [] })
  }
  const kept = ['reader', 'x']
  expect(read(['reader', null, '', 'x'])).toEqual({ groups: kept, scopes: kept })
})

describe('a second factor', () => {
  const mfa = { amr: ['mfa', 'otp'], acr: ['gold'] }
  const rows: readonly (readonly [string, object, typeof NO_MFA | typeof mfa, boolean])[] = [
    ['a method the entry names', { amr: ['pwd', 'otp'] }, mfa, true],
    ['a class the entry names', { acr: 'gold' }, mfa, true],
    ['other methods', { amr: ['pwd', 'hwk'] }, mfa, false],
    ['a class in another spelling', { acr: 'Gold' }, mfa, false],
    ['a class where a method is expected', { acr: 'mfa', amr: ['gold'] }, mfa, false],
    ['methods in one text', { amr: 'mfa otp' }, mfa, false],
    ['classes in a list', { acr: ['gold'] }, mfa, false],
    ['neither', {}, mfa, false],
    ['whatever it says, where the entry names none', { amr: ['mfa', 'otp'], acr: 'gold' }, NO_MFA, false],
  ]
  for (const [title, claims, named, expected] of rows) {
    test(`[FR-040] ${expected ? 'is shown' : 'is not shown'} by ${title}`, () => {
      expect(read(claims, {}, named).hasSecondFactor).toBe(expected)
    })
  }
})
