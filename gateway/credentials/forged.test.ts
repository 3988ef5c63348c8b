/** Every way a token of another issuer can be forged or unfit, each refused for its own reason (RFC 8725, SECURITY rules 22 and 25). */

import { exportSPKI, importJWK, SignJWT } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { Refusal } from '../model.ts'
import { NOW_MS, whoIn } from '../test/support/credentials.ts'
import { type IssuerKey, makeKey, signToken } from '../test/support/issuer.ts'
import { entryOf, OWN, type TestTokens, testTokens } from '../test/support/token-issuers.ts'

const NOW = NOW_MS / 1000
const CI = 'https://ci.example.com'
const DAY = 86_400

let ci: IssuerKey
let rsa: IssuerKey
let other: IssuerKey
let forger: IssuerKey
let tokens: TestTokens

beforeAll(async () => {
  ;[ci, rsa, other, forger] = await Promise.all([makeKey('k1'), makeKey('r1', 'RS256'), makeKey('k1'), makeKey('k1')])
  tokens = await testTokens([
    entryOf({ name: 'ci', keys: [ci.jwk, rsa.jwk], require: { 'app.id': ['cli', 7], on: [true] } }),
    entryOf({ name: 'other', keys: [other.jwk, (await makeKey('only-other')).jwk] }),
    entryOf({ name: 'single', keys: [other.jwk], algorithms: ['ES256'] }),
  ])
})

const GOOD = { iss: CI, app: { id: 'cli' }, on: true }
const sign = (claims: object = {}, header: object = {}, key = ci) =>
  signToken(key, { ...GOOD, ...claims }, header, NOW_MS)
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const rewrite = async (header: object, claims: object = {}) => {
  const [, , signature] = (await sign(claims)).split('.')
  return `${base64url({ alg: 'ES256', kid: 'k1', ...header })}.${base64url({ aud: 'books', sub: 'x', exp: NOW + 60, ...GOOD, ...claims })}.${signature}`
}

describe('a token is believed', () => {
  const rows: readonly (readonly [string, () => Promise<string>])[] = [
    ['as its issuer signed it', () => sign()],
    ['with RS256, by the other key', () => sign({}, { kid: 'r1', alg: 'RS256' }, rsa)],
    ['without a kid, where one key fits', () => sign({}, { kid: undefined })],
    ['without a typ', () => sign({}, { typ: undefined })],
    ['of typ JWT', () => sign({}, { typ: 'JWT' })],
    ['of typ application/at+jwt', () => sign({}, { typ: 'application/at+jwt' })],
    ['for several audiences', () => sign({ aud: ['billing', 'books'] })],
    ['expired within the leeway', () => sign({ exp: NOW - 4 })],
    ['issued within the leeway', () => sign({ iat: NOW + 4, nbf: NOW + 4 })],
    ['without iat', () => sign({ iat: undefined })],
    ['that lives for a year', () => sign({ exp: NOW + 365 * DAY })],
    ['with another value that is allowed', () => sign({ app: { id: 7 } })],
  ]
  for (const [what, make] of rows) {
    test(`[FR-028] ${what}`, async () => {
      expect(whoIn(await tokens.verify(await make(), NOW_MS))).toBe('ci:job-7')
    })
  }
})

const refused: readonly (readonly [string, string, () => Promise<string> | string])[] = [
  ['token.algorithm', 'with alg none (CVE-2015-9235)', () => rewrite({ alg: 'none' })],
  ['token.algorithm', 'with alg NonE', () => rewrite({ alg: 'NonE' })],
  ['token.algorithm', 'without alg', () => rewrite({ alg: undefined })],
  ['token.algorithm', 'with alg of another type', () => rewrite({ alg: ['ES256'] })],
  ['token.algorithm', 'with HS256 over the public key (CVE-2026-39999)', () => hmacOver('HS256')],
  ['token.algorithm', 'with HS256 and no kid', () => rewrite({ alg: 'HS256', kid: undefined })],
  ['token.algorithm', 'with an algorithm that its entry does not list', () => singleWith('ES384')],
  ['token.algorithm', 'with RS256 under the kid of an EC key', () => sign({}, { kid: 'k1', alg: 'RS256' }, rsa)],
  ['token.algorithm', 'with ES256 under the kid of an RSA key', () => sign({}, { kid: 'r1' })],
  ['token.algorithm', 'with a critical extension', () => rewrite({ crit: ['x'], x: 1 })],
  ['token.algorithm', 'with a critical extension that jose knows', () => critical()],
  ['token.algorithm', 'with an empty list of critical extensions', () => rewrite({ crit: [] })],
  ['token.algorithm', 'with b64', () => rewrite({ b64: false })],
  ['token.signature', 'signed by a stranger under the issuer’s kid', () => sign({}, {}, forger)],
  ['token.signature', 'signed by another issuer under an equal kid', () => sign({}, {}, other)],
  ['token.signature', 'of another issuer, whose iss was rewritten', () => rewrite({}, {})],
  ['token.key-unknown', 'with the kid of another issuer', () => sign({}, { kid: 'only-other' })],
  ['token.key-unknown', 'with the kid of our own', () => sign({}, { kid: 'postern' })],
  ['token.key-unknown', 'without a kid, where two keys fit', () => twoFit()],
  ['token.malformed', 'with a kid of another type', () => rewrite({ kid: { a: 1 } })],
  ['token.malformed', 'with an endless kid', () => rewrite({ kid: 'k'.repeat(257) })],
  ['token.signature', 'that brings its own key along (jwk)', () => sign({}, { jwk: forger.jwk }, forger)],
  ['token.signature', 'that says where its key is (jku)', () => sign({}, { jku: 'http://127.0.0.1:1/' }, forger)],
  ['token.signature', 'that says where its certificate is (x5u)', () => sign({}, { x5u: 'https://a.test' }, forger)],
  ['token.signature', 'that brings a certificate along (x5c)', () => sign({}, { x5c: ['AAAA'] }, forger)],
  ['token.type', 'that is a logout token', () => sign({}, { typ: 'logout+jwt' })],
  ['token.type', 'that is a security event', () => sign({}, { typ: 'secevent+jwt' })],
  ['token.type', 'that is an assertion of ours', () => sign({}, { typ: 'postern-assertion+jwt' })],
  ['token.type', 'with a typ of another type', () => rewrite({ typ: 1 })],
  ['token.audience', 'for somebody else', () => sign({ aud: 'billing' })],
  ['token.audience', 'for nobody', () => sign({ aud: undefined })],
  ['token.audience', 'for the empty list', () => sign({ aud: [] })],
  ['token.audience', 'for an audience of another type', () => sign({ aud: { books: true } })],
  ['token.malformed', 'without an expiry', () => sign({ exp: undefined })],
  ['token.malformed', 'with an expiry that is no number', () => rawSign({ exp: '1900000000' })],
  ['token.expired', 'past its leeway', () => sign({ exp: NOW - 6 })],
  ['token.lifetime', 'that outlives the entries of the log', () => sign({ exp: NOW + 367 * DAY })],
  ['token.lifetime', 'that never ends', () => infinite('exp')],
  ['token.not-yet-valid', 'not valid yet', () => sign({ nbf: NOW + 60 })],
  ['token.not-yet-valid', 'issued in the future', () => sign({ iat: NOW + 60 })],
  ['token.malformed', 'issued at no time', () => rawSign({ iat: 'now' })],
  ['token.malformed', 'without a subject', () => sign({ sub: undefined })],
  ['token.malformed', 'with an empty subject', () => sign({ sub: '' })],
  ['token.malformed', 'with a subject of another type', () => rawSign({ sub: 7 })],
  ['token.malformed', 'with an endless subject', () => sign({ sub: 's'.repeat(256) })],
  ['token.malformed', 'with a line break in its subject', () => sign({ sub: 'a\nb' })],
  ['token.malformed', 'with NUL in its subject', () => sign({ sub: 'a\0b' })],
  ['token.malformed', 'with half a character in its subject', () => rawSign({ sub: '\ud800' })],
  ['token.claims', 'without a claim that is required', () => sign({ app: undefined })],
  ['token.claims', 'with another value of it', () => sign({ app: { id: 'web' } })],
  ['token.claims', 'with its value in another type', () => sign({ on: 'true' })],
  ['token.claims', 'with a list of it', () => sign({ on: [true] })],
]

describe('a token is refused', () => {
  for (const [reason, because, make] of refused) {
    test(`[FR-028] ${because}: ${reason}`, async () => {
      const found = await tokens.verify(await make(), NOW_MS)
      expect(found).toBeInstanceOf(Refusal)
      expect(found).not.toBe(OWN)
      expect((found as Refusal).reason).toBe(reason)
    })
  }
})

describe('what is of no issuer we know is for our own verifier, which refuses it', () => {
  const rows: readonly (readonly [string, () => Promise<string> | string])[] = [
    ['of an issuer that begins alike', () => sign({ iss: `${CI}/` })],
    ['of an issuer in other letters', () => sign({ iss: 'https://CI.example.com' })],
    ['of a list of issuers', () => rawSign({ iss: [CI] })],
    ['without an issuer', () => sign({ iss: undefined })],
    ['of two parts', () => 'a.b'],
    ['of three parts that say nothing', () => 'a.b.c'],
    ['that is opaque, where nobody is asked about one', () => 'opaque'],
    ['that is endless', async () => `${await sign({ pad: 'p'.repeat(20_000) })}`],
    ['whose payload is a list', () => `${base64url({ alg: 'ES256' })}.${base64url([CI])}.AAAA`],
  ]
  for (const [what, make] of rows) {
    test(`[FR-028] a token ${what}`, async () => {
      expect(await tokens.verify(await make(), NOW_MS)).toBe(OWN)
    })
  }

  test('[FR-028] a token in a second spelling is nobody’s, in each of its parts', async () => {
    const token = await sign()
    const last = token.at(-1)!
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const twin = token.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1]
    expect(Buffer.from(twin.split('.')[2]!, 'base64url')).toEqual(Buffer.from(token.split('.')[2]!, 'base64url'))
    for (const text of [twin, `${token}=`, token.replace('.', '=.'), token.replaceAll('-', '+').replaceAll('_', '/')]) {
      if (text !== token) expect(await tokens.verify(text, NOW_MS)).toBe(OWN)
    }
  })
})

test('[FR-028] what cannot be a token of another issuer never throws', async () => {
  for (const text of ['', '.', '..', '...', '\0.\0.\0', 'é.é.é', '%.%.%', `${'.'.repeat(5000)}`]) {
    expect(await tokens.verify(text, NOW_MS)).toBeInstanceOf(Refusal)
  }
})

/** jose’s own payload types would not let a test say this. */
async function rawSign(claims: object): Promise<string> {
  const now = Math.floor(NOW)
  return new SignJWT({ aud: 'books', sub: 'job-7', iat: now, exp: now + 60, ...GOOD, ...claims } as never)
    .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
    .sign(ci.privateKey)
}

/** JSON has no infinity, and every reader makes one of `1e999`. */
async function infinite(claim: string): Promise<string> {
  const payload = JSON.stringify({ aud: 'books', sub: 'x', ...GOOD, [claim]: 0 }).replace(
    `"${claim}":0`,
    `"${claim}":1e999`,
  )
  const input = `${base64url({ alg: 'ES256', kid: 'k1' })}.${Buffer.from(payload).toString('base64url')}`
  const algorithm = { name: 'ECDSA', hash: 'SHA-256' }
  const signature = await crypto.subtle.sign(algorithm, ci.privateKey, Buffer.from(input))
  return `${input}.${Buffer.from(signature).toString('base64url')}`
}

async function hmacOver(alg: string): Promise<string> {
  const pem = await exportSPKI((await importJWK(rsa.jwk, 'RS256', { extractable: true })) as CryptoKey)
  return new SignJWT({ aud: 'books', sub: 'x', exp: NOW + 60, ...GOOD })
    .setProtectedHeader({ alg, kid: 'r1' })
    .sign(new TextEncoder().encode(pem))
}

async function critical(): Promise<string> {
  return new SignJWT({ aud: 'books', sub: 'x', exp: NOW + 60, ...GOOD })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1', crit: ['b64'], b64: true })
    .sign(ci.privateKey)
}

async function singleWith(alg: string): Promise<string> {
  return signToken(await makeKey('k1', alg), { iss: 'https://single.example.com' }, {}, NOW_MS)
}

async function twoFit(): Promise<string> {
  return signToken(other, { iss: 'https://other.example.com' }, { kid: undefined as never }, NOW_MS)
}
