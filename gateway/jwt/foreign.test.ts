/** What stands on its own of verifying a foreign token: whose it is, claims by path, and rules that nobody checked before. */

import { expect, test } from 'vitest'
import { makeKey, signToken } from '../test/support/issuer.ts'
import { claimAt, parseClaimPath } from './claim-path.ts'
import { type ForeignRules, issuerOf, verifyForeign } from './foreign.ts'
import { readInlineKeys } from './remote-keys.ts'

const NOW_MS = 1_800_000_000_000
const rules: ForeignRules = {
  issuer: 'https://ci.example.com',
  audiences: ['books'],
  algorithms: ['ES256'],
  leewayMs: 5000,
  require: [],
}

test('[FR-028] the issuer is checked again with the signature, whoever chose these rules', async () => {
  const key = await makeKey('k1')
  const keys = await readInlineKeys('ci', [key.jwk], ['ES256'], () => {})
  const verify = async (iss: string) => verifyForeign(rules, keys, await signToken(key, { iss }, {}, NOW_MS), NOW_MS)
  expect(await verify(rules.issuer)).toMatchObject({ kid: 'k1' })
  expect(await verify('https://hr.example.com')).toMatchObject({ reason: 'token.issuer' })
})

test('[FR-028] whose token it is, read without believing it; nested and repeated names do not mislead', async () => {
  const tokenOf = (payload: string) => `e30.${Buffer.from(payload).toString('base64url')}.AAAA`
  expect(issuerOf(tokenOf('{"x":{"iss":"a"},"iss":"b"}'))).toBe('b')
  expect(issuerOf(tokenOf('{"iss":"a","iss":"b"}'))).toBe('b')
  expect(issuerOf(tokenOf('{"\\u0069ss":"https://é.example"}'))).toBe('https://é.example')
  for (const payload of ['{"iss":7}', '[]', 'null', '7', '"iss"', '{', '{"x":{"iss":"a"}}'])
    expect(issuerOf(tokenOf(payload))).toBeNull()
  for (const text of ['', 'a.b', 'a..b', '.e30.', 'e30.e30=.AAAA']) expect(issuerOf(text)).toBeNull()
})

test('[FR-028] claims by path', () => {
  expect(parseClaimPath('realm_access.roles')).toEqual(['realm_access', 'roles'])
  expect(parseClaimPath('[https://example.com/roles]')).toEqual(['https://example.com/roles'])
  expect(parseClaimPath('a.[b.c].d')).toEqual(['a', 'b.c', 'd'])
  const claims = { a: { 'b.c': { d: 1 } }, list: [1], text: 'text' }
  expect(claimAt(claims, ['a', 'b.c', 'd'])).toBe(1)
  for (const path of ['a.x', 'a.b.c', 'list.0', 'list.length', 'text.length', 'toString', '__proto__', 'a.constructor'])
    expect(claimAt(claims, parseClaimPath(path))).toBeUndefined()
})

test('[FR-028] a token that is bound to a key of its sender is no bearer token', async () => {
  const key = await makeKey('k1')
  const keys = await readInlineKeys('ci', [key.jwk], ['ES256'], () => {})
  const bound = await signToken(key, { iss: rules.issuer, cnf: { jkt: 'x' } }, {}, NOW_MS)
  expect(await verifyForeign(rules, keys, bound, NOW_MS)).toMatchObject({ reason: 'token.type', log: 'cnf' })
})
