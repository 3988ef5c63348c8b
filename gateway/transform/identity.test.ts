/** Dialects: which header carries what, and how a claim becomes text that no two people share. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isReserved } from '../http/field-names.ts'
import type { Principal } from '../model.ts'
import { Refusal } from '../model.ts'
import type { IdentityClaim } from '../rules.ts'
import { compileIdentity, DIALECTS, IDENTITY_CLAIMS, mapFault, namesOf } from './identity.ts'
import { fieldText, IDENTITY_BYTES_MAX, type IdentityLines, identityLines } from './identity-lines.ts'

const ada = {
  subject: 'u_1',
  email: 'ada@example.com',
  emailVerified: true,
  name: 'Ada Lovelace',
  roles: ['admin'],
  scopes: ['read', 'write'],
  groups: [],
  claims: {},
  source: null,
  sessionId: 's1',
} as unknown as Principal

function written(claim: IdentityClaim, change: Partial<Principal>, allowUnverifiedEmail = false): string | undefined {
  const lines = identityLines(
    compileIdentity({ H: { claim, separator: null } }),
    { ...ada, ...change },
    allowUnverifiedEmail,
  )
  return (lines as IdentityLines).lines[1]
}

test('[FR-007] every name of every preset is stripped from requests whatever preset is on', () => {
  for (const dialect of Object.values(DIALECTS)) {
    if (dialect.preset === 'basic') continue // request-headers.test.ts
    for (const name of namesOf(dialect)) expect(isReserved(name, new Set()), name).toBe(true)
  }
})

test('[FR-007] no preset gives a login field an editable name', () => {
  for (const { preset, fields } of Object.values(DIALECTS)) {
    if (preset === 'basic') expect(fields.map(({ claim }) => claim)).toEqual(['login'])
    else
      for (const { name, claim } of fields) expect(mapFault(name.replace(/^X-Forwarded/, 'X'), claim), name).toBeNull()
    for (const { name, claim } of fields) if (/user/i.test(name)) expect(['id', 'login']).toContain(claim)
  }
})

const claims = [
  ['id', {}, 'u_1'],
  ['email', {}, 'ada@example.com'],
  ['email', { emailVerified: false }, undefined],
  ['login', {}, 'ada@example.com'],
  ['login', { emailVerified: false }, 'u_1'],
  ['login', { email: null }, 'u_1'],
  ['login', { email: '' }, 'u_1'],
  ['name', {}, 'Ada Lovelace'],
  ['name', { name: null }, undefined],
  ['name', { name: '' }, undefined],
  ['roles', { roles: ['a', 'b'] }, 'a,b'],
  ['roles', { roles: [] }, undefined],
  ['groups', {}, 'admin'],
  ['groups', { groups: ['staff'] }, 'staff'],
  ['scopes', {}, 'read write'],
  ['scopes', { scopes: [] }, undefined],
  ['session', {}, 's1'],
  ['session', { sessionId: null }, undefined],
] as const
for (const [claim, change, text] of claims) {
  test(`[FR-007] ${claim} of ${JSON.stringify(change)} is ${text ?? 'not written'}`, () => {
    expect(written(claim, change)).toBe(text)
  })
}

test('[FR-007] an unverified e-mail is written only where the file says so', () => {
  expect(written('email', { emailVerified: false }, true)).toBe('ada@example.com')
})

test('[FR-007] a group that holds the separator is left out and counted, for it would be read as two', () => {
  const lines = identityLines(DIALECTS.forwarded, { ...ada, groups: ['a', 'b,admin', ''] }, false) as IdentityLines
  expect(lines.lines.at(-1)).toBe('a')
  expect(lines.droppedGroups).toBe(2)
  expect(written('scopes', { scopes: ['read admin', 'write'] })).toBe('write')
})

const texts = [
  ['plain text, (even) "this"', 'plain text, (even) "this"'],
  ['Ada Ł', 'Ada %C5%81'],
  ['\u{1f511}', '%F0%9F%94%91'],
  ['100%', '100%25'],
  ['%61dmin', '%2561dmin'],
  ['a\r\nX: y\0', 'a%0D%0AX: y%00'],
  [' admin', '%20admin'],
  ['admin  ', 'admin%20%20'],
  [' ', '%20'],
  ['a\tb', 'a%09b'],
  ['\ud800', '%EF%BF%BD'],
] as const
for (const [text, value] of texts) {
  test(`[FR-007] ${JSON.stringify(text)} is written as ${value}`, () => expect(fieldText(text)).toBe(value))
}

test('[FR-007] what is written decodes to what was meant, so no two texts share a value', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(decodeURIComponent(fieldText(text))).toBe(text.toWellFormed())
    }),
    { numRuns: 2000 },
  )
})

test('[FR-007] identity that is too large or names nobody is a refusal, never a shorter truth', () => {
  const large = identityLines(DIALECTS.forwarded, { ...ada, groups: ['x'.repeat(IDENTITY_BYTES_MAX)] }, false)
  expect(large).toMatchObject({ reason: 'identity.unwritable' })
  expect(identityLines(DIALECTS.forwarded, { ...ada, subject: '' }, false)).toBeInstanceOf(Refusal)
  expect(identityLines(DIALECTS.none, ada, false)).toEqual({ lines: [], droppedGroups: 0 })
})

const maps = [
  ['X-User-Id', 'id', true],
  ['X-User-Scopes', 'scopes', true],
  ['X-User-Name', 'name', true],
  ['X-Forwarded-User', 'login', true],
  ['Remote-User', 'name', false],
  ['X-WEBAUTH-USER', 'name', false],
  ['X-Login', 'name', false],
  ['X_User', 'id', false],
  ['X User', 'id', false],
  ['', 'id', false],
  ['Host', 'id', false],
  ['Cookie', 'session', false],
  ['Connection', 'id', false],
  ['Content-Length', 'id', false],
  ['Authorization', 'id', false],
  ['X-Postern-Assertion', 'id', false],
  ['X-Forwarded-For', 'id', false],
] as const
for (const [name, claim, isFit] of maps) {
  test(`[FR-007] ${name || 'no name'} ${isFit ? 'can' : 'cannot'} carry ${claim}`, () => {
    expect(mapFault(name, claim) === null).toBe(isFit)
  })
}

test('[FR-007] a map carries every claim there is', () => {
  const map = Object.fromEntries(IDENTITY_CLAIMS.map((claim) => [`X-${claim}`, { claim, separator: null }]))
  expect(namesOf(compileIdentity(map))).toEqual(IDENTITY_CLAIMS.map((claim) => `x-${claim}`))
})
