/** Every way a token can be wrong, and the few ways it can be right (RFC 8725). */

import { exportJWK, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose'
import { beforeAll, expect, test } from 'vitest'
import { Refusal } from '../model.ts'
import type { TokenVerifier } from '../ports.ts'
import { generateSigningKey, importSigningKey, keyFinder, type SigningKey } from './keys.ts'
import { signClaims } from './sign.ts'
import { isCanonical, tokenVerifier } from './verify.ts'

const ORIGIN = 'https://books.example.com'
const NOW_MS = 1_800_000_000_000
const NOW = NOW_MS / 1000
const GOOD: JWTPayload = { iss: ORIGIN, aud: ORIGIN, sub: 'u_1', iat: NOW, exp: NOW + 900 }

let verifier: TokenVerifier
let own: { kid: string; publicJwk: object; privateKey: SigningKey }
let foreign: { kid: string; publicJwk: object; privateKey: SigningKey }

async function makeKey() {
  const { kid, publicJwk, privateJwk } = await generateSigningKey()
  return { kid, publicJwk, privateKey: await importSigningKey(privateJwk) }
}

beforeAll(async () => {
  own = await makeKey()
  foreign = await makeKey()
  verifier = await tokenVerifier({ issuer: ORIGIN, audience: ORIGIN, keys: { keys: [own.publicJwk] } })
})

const signed = (claims: JWTPayload, header: Partial<JWTHeaderParameters> = {}, key = own.privateKey) =>
  new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: own.kid, ...header }).sign(key)
const verify = async (token: string) => {
  const found = await verifier.verifyToken(token, NOW_MS)
  return found instanceof Refusal ? found : found.principal
}
const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

test('[FR-010] a token of ours is believed, and its claims become a principal', async () => {
  const claims = {
    ...GOOD,
    email: 'a@example.com',
    email_verified: true,
    roles: ['editor'],
    scope: 'a b',
    sid: 's_1',
    jti: 't_1',
  }
  expect(await verify(await signed(claims))).toEqual({
    kind: 'user',
    credential: 'token',
    subject: 'u_1',
    issuer: ORIGIN,
    email: 'a@example.com',
    emailVerified: true,
    name: null,
    roles: ['editor'],
    scopes: ['a', 'b'],
    groups: [],
    claims: {},
    hasSecondFactor: false,
    sessionId: 's_1',
    tokenId: 't_1',
    keyId: null,
    source: null,
    authenticatedAtMs: null,
    methods: [],
    expiresAtMs: (NOW + 900) * 1000,
  })
})

test('[FR-010] claims of the wrong type are nobody’s: no role, no scope, no verified e-mail', async () => {
  const claims = {
    ...GOOD,
    email: ['x'],
    email_verified: 'true',
    roles: 'admin',
    scope: ['admin'],
    groups: { admin: true },
  }
  expect(await verify(await signed(claims))).toMatchObject({
    email: null,
    emailVerified: false,
    roles: [],
    scopes: [],
    groups: [],
  })
})

const accepted: readonly (readonly [JWTPayload, Partial<JWTHeaderParameters>, string])[] = [
  [{ ...GOOD, aud: ['other', ORIGIN] }, {}, 'one of several audiences'],
  [{ ...GOOD, exp: NOW - 4 }, {}, 'expired within the leeway'],
  [{ ...GOOD, nbf: NOW + 4 }, {}, 'not yet valid within the leeway'],
  [GOOD, { typ: 'JWT' }, 'typ JWT'],
  [GOOD, { typ: 'at+jwt' }, 'typ at+jwt'],
  [GOOD, { typ: 'application/at+jwt' }, 'typ with its prefix (RFC 9068 §2.1)'],
]
for (const [claims, header, because] of accepted) {
  test(`[FR-010] a token is believed: ${because}`, async () => {
    expect(await verify(await signed(claims, header))).toMatchObject({ subject: 'u_1' })
  })
}

const without = (name: string): JWTPayload => Object.fromEntries(Object.entries(GOOD).filter(([key]) => key !== name))
const refused: readonly (readonly [string, string, () => Promise<string> | string])[] = [
  ['token.expired', 'past its leeway', () => signed({ ...GOOD, exp: NOW - 6 })],
  ['token.malformed', 'without an expiry', () => signed(without('exp'))],
  ['token.malformed', 'with an expiry that is no number', () => signed({ ...GOOD, exp: 'never' as unknown as number })],
  ['token.not-yet-valid', 'from the future', () => signed({ ...GOOD, nbf: NOW + 60 })],
  ['token.issuer', 'of another issuer', () => signed({ ...GOOD, iss: 'https://evil.example' })],
  ['token.issuer', 'of an issuer that begins like ours', () => signed({ ...GOOD, iss: `${ORIGIN}/assertion` })],
  ['token.issuer', 'without an issuer', () => signed(without('iss'))],
  ['token.audience', 'for somebody else', () => signed({ ...GOOD, aud: 'billing' })],
  ['token.audience', 'for nobody', () => signed(without('aud'))],
  ['token.malformed', 'without a subject', () => signed(without('sub'))],
  ['token.malformed', 'with an empty subject', () => signed({ ...GOOD, sub: '' })],
  ['token.malformed', 'with a subject that is no text', () => signed({ ...GOOD, sub: 7 as unknown as string })],
  ['token.signature', 'signed by another key under our kid', () => signed(GOOD, {}, foreign.privateKey)],
  ['token.key-unknown', 'signed by a key we do not know', () => signed(GOOD, { kid: foreign.kid }, foreign.privateKey)],
  ['token.type', 'that is an assertion for an upstream', () => signed(GOOD, { typ: 'postern-assertion+jwt' })],
  ['token.type', 'that is an ID token or anything else', () => signed(GOOD, { typ: 'logout+jwt' })],
  ['token.algorithm', 'with alg none (CVE-2015-9235)', () => `${base64url({ alg: 'none' })}.${base64url(GOOD)}.AA`],
  ['token.algorithm', 'with alg NonE', () => `${base64url({ alg: 'NonE' })}.${base64url(GOOD)}.AA`],
  ['token.algorithm', 'with a critical header we do not know', () => critical()],
  ['token.algorithm', 'with HS256 over our public key (CVE-2026-39999)', () => symmetric()],
  ['token.algorithm', 'with EdDSA', () => otherAlgorithm('EdDSA')],
  ['token.algorithm', 'with RS256', () => otherAlgorithm('RS256')],
  ['token.malformed', 'of two parts', () => 'a.b'],
  ['token.malformed', 'of five parts', () => 'a.b.c.d.e'],
  ['token.malformed', 'that is empty', () => ''],
  ['token.malformed', 'that is no base64url', () => 'a+b.c/d.e='],
  ['token.malformed', 'whose header is no JSON', () => 'AAAA.AAAA.AAAA'],
  ['token.malformed', 'too long to be ours', () => `${'A'.repeat(9000)}.AAAA.AAAA`],
]
for (const [reason, because, make] of refused) {
  test(`[FR-010] a token ${because} is refused as ${reason}`, async () => {
    const found = await verify(await make())
    expect(found).toBeInstanceOf(Refusal)
    expect((found as Refusal).reason).toBe(reason)
  })
}

async function critical(): Promise<string> {
  const good = await signed(GOOD)
  const header = base64url({ alg: 'ES256', kid: own.kid, crit: ['x'], x: true })
  return [header, ...good.split('.').slice(1)].join('.')
}

async function symmetric(): Promise<string> {
  const secret = new TextEncoder().encode(JSON.stringify(own.publicJwk))
  return new SignJWT(GOOD).setProtectedHeader({ alg: 'HS256', kid: own.kid }).sign(secret)
}

async function otherAlgorithm(alg: string): Promise<string> {
  const { privateKey } = await generateKeyPair(alg)
  return new SignJWT(GOOD).setProtectedHeader({ alg, kid: own.kid }).sign(privateKey)
}

test('[FR-010] a key that travels in the token is not looked at (RFC 8725 §3.10)', async () => {
  const token = await signed(
    GOOD,
    { kid: 'own', jwk: foreign.publicJwk, jku: 'https://evil.example/jwks' },
    foreign.privateKey,
  )
  expect(await verify(token)).toMatchObject({ reason: 'token.key-unknown' })
})

test('[FR-010] a signature has one text: spare bits and other alphabets make another token, and are refused', async () => {
  const token = await signed(GOOD)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = token.at(-1)!
  const twin = token.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1]
  expect(Buffer.from(twin.split('.')[2]!, 'base64url')).toEqual(Buffer.from(token.split('.')[2]!, 'base64url'))
  expect(await verify(twin)).toMatchObject({ reason: 'token.malformed' })
  for (const text of [`${token}=`, `${token} `, ` ${token}`, `${token}\n`, token.replace('.', '..')])
    expect(isCanonical(text)).toBe(false)
  expect(isCanonical(token)).toBe(true)
})

test('[FR-010] a configured key set lends us no symmetric, private or other kind of key', async () => {
  const { publicKey } = await generateKeyPair('RS256')
  const { privateJwk } = await generateSigningKey()
  const find = keyFinder({
    keys: [
      { kty: 'oct', k: 'c2VjcmV0', kid: 'a' },
      { ...(await exportJWK(publicKey)), kid: 'b' },
      { ...privateJwk, kid: 'c' },
    ],
  })
  for (const kid of ['a', 'b', 'c']) {
    await expect(find({ alg: 'ES256', kid }, { payload: '', signature: '' })).rejects.toThrow()
  }
})

test('[FR-010] a signing key cannot be read out again', async () => {
  const { privateJwk } = await generateSigningKey()
  const key = await importSigningKey(privateJwk)
  await expect(crypto.subtle.exportKey('jwk', key)).rejects.toThrow()
  expect(await verify(await signClaims({ kid: own.kid, privateKey: own.privateKey }, 'JWT', GOOD))).toMatchObject({
    subject: 'u_1',
  })
})
