/** Bearer tokens of ours: what is remembered of them, and what is asked each time. */

import { expect, test } from 'vitest'
import { generateSigningKey, importSigningKey, keyFinder } from '../jwt/keys.ts'
import { signClaims } from '../jwt/sign.ts'
import { type Authentication, Refusal } from '../model.ts'
import { primitives } from '../node/crypto.ts'
import { EVERYTHING } from '../revocation/names.ts'
import { cacheOf, principalNamed } from '../test/support/credentials.ts'
import { scriptedRevocations } from '../test/support/revocations.ts'
import type { Sessions } from './sessions.ts'
import type { TokenKeys } from './token-keys.ts'
import { createTokens } from './tokens.ts'

const ORIGIN = 'https://books.example.com'
const NOW_MS = 1_800_000_000_000

const sessionOf = (more: object) => ({
  principal: principalNamed('u_1', { expiresAtMs: NOW_MS + 60_000, roles: ['user'], sessionId: 's_1', ...more }),
  proof: { sequence: 0, names: ['session:s_1'], issuedAtMs: NOW_MS },
})

/** A verifier over one key and one session; how often the keys are read again is counted. */
async function stage() {
  const { kid, publicJwk, privateJwk } = await generateSigningKey()
  const privateKey = await importSigningKey(privateJwk)
  const state = { reads: 0, isDown: false, published: [publicJwk] as object[], isRead: Promise.resolve() }
  let find = keyFinder({ keys: state.published })
  const keys: TokenKeys = {
    finder: (header, token) => find(header, token),
    publicKeys: () => state.published,
    async refresh() {
      state.reads += 1
      await state.isRead
      if (state.isDown) throw new Error('down')
      find = keyFinder({ keys: state.published })
    },
  }
  const revocations = scriptedRevocations()
  const credentials = cacheOf({ revocations })
  const session = { row: sessionOf({}), reads: 0 }
  const sessions = {
    verifyId() {
      session.reads += 1
      return session.row
    },
  } as unknown as Sessions
  const tokens = createTokens({ origin: ORIGIN, keys, sessions, credentials, primitives })
  const claims = {
    iss: ORIGIN,
    aud: ORIGIN,
    sub: 'u_1',
    sid: 's_1',
    jti: 't_1',
    iat: NOW_MS / 1000 - 1,
    exp: NOW_MS / 1000 + 900,
  }
  return {
    tokens,
    state,
    session,
    kid,
    revocations,
    credentials,
    claims,
    sign: (more: object) => signClaims({ kid, privateKey }, 'JWT', { ...claims, ...more }),
  }
}

test('[FR-010] a token whose session is somebody else’s is refused', async () => {
  const { tokens, sign } = await stage()
  expect(await tokens.verifyToken(await sign({ sub: 'u_2' }), NOW_MS)).toMatchObject({ reason: 'token.session-ended' })
})

test('[FR-010] a token without a session is refused, though we signed it', async () => {
  const { tokens, sign } = await stage()
  expect(await tokens.verifyToken(await sign({ sid: '' }), NOW_MS)).toMatchObject({ reason: 'token.malformed' })
})

test('[FR-010] a remembered token ends with its expiry, and its principal with whichever ends first', async () => {
  const { tokens, sign } = await stage()
  const token = await sign({ exp: NOW_MS / 1000 + 30 })
  const found = (await tokens.verifyToken(token, NOW_MS)) as Authentication
  expect(found.principal!.expiresAtMs).toBe(NOW_MS + 30_000)
  expect(tokens.verifyToken(token, NOW_MS + 34_000)).toBe(found)
  expect(await tokens.verifyToken(token, NOW_MS + 36_000)).toMatchObject({ reason: 'token.expired' })
})

test('[FR-010] a key that another node has just made is found, and strangers cannot make us look for keys all the time', async () => {
  const { tokens, state, claims, sign } = await stage()
  await tokens.verifyToken(await sign({}), NOW_MS)
  const other = await generateSigningKey()
  const privateKey = await importSigningKey(other.privateJwk)
  const token = await signClaims({ kid: other.kid, privateKey }, 'JWT', claims)
  for (let at = 0; at < 10; at += 1) {
    expect(await tokens.verifyToken(token, NOW_MS + at)).toMatchObject({ reason: 'token.key-unknown' })
  }
  expect(state.reads).toBe(1)
  state.published.push(other.publicJwk)
  expect(await tokens.verifyToken(token, NOW_MS + 5001)).toMatchObject({ principal: { subject: 'u_1' } })
})

test('[FR-010] whoever comes while the keys are read waits for them too, and is not refused', async () => {
  const { tokens, state, claims } = await stage()
  const other = await generateSigningKey()
  const privateKey = await importSigningKey(other.privateJwk)
  state.published.push(other.publicJwk)
  const gate = Promise.withResolvers<void>()
  state.isRead = gate.promise
  const sign = (jti: string) => signClaims({ kid: other.kid, privateKey }, 'JWT', { ...claims, jti })
  const asking = await Promise.all(['a', 'b', 'c'].map(async (jti) => [tokens.verifyToken(await sign(jti), NOW_MS)]))
  await expect.poll(() => state.reads).toBe(1)
  gate.resolve()
  for (const [found] of asking) expect(await found).toMatchObject({ principal: { subject: 'u_1' } })
  expect(state.reads).toBe(1)
})

test('[FR-023] an unknown key while the store is down is "cannot tell", and known keys go on verifying', async () => {
  const { tokens, state, claims, sign } = await stage()
  state.isDown = true
  const other = await generateSigningKey()
  const privateKey = await importSigningKey(other.privateJwk)
  const token = await signClaims({ kid: other.kid, privateKey }, 'JWT', claims)
  for (const afterMs of [0, 1, 4999]) {
    expect(await tokens.verifyToken(token, NOW_MS + afterMs)).toMatchObject({ reason: 'keys.unavailable' })
  }
  expect(state.reads).toBe(1)
  expect(await tokens.verifyToken(await sign({}), NOW_MS)).toMatchObject({ principal: { subject: 'u_1' } })
})

test('[FR-010] what the token says of roles counts for nothing: its session is asked each time', async () => {
  const { tokens, sign, session } = await stage()
  const token = await sign({ roles: ['admin'], scope: 'all', email: 'root@example.com', email_verified: true })
  const first = (await tokens.verifyToken(token, NOW_MS)) as Authentication
  expect(first.principal).toMatchObject({
    roles: ['user'],
    scopes: [],
    email: null,
    credential: 'token',
    tokenId: 't_1',
  })
  session.row = sessionOf({ roles: ['demoted'] })
  expect(tokens.verifyToken(token, NOW_MS)).toMatchObject({ principal: { roles: ['demoted'] } })
  session.row = new Refusal('token.session-ended') as never
  expect(tokens.verifyToken(token, NOW_MS)).toMatchObject({ reason: 'token.session-ended' })
  // The first time to learn how old it is, too.
  expect(session.reads).toBe(4)
})

test('[FR-034] a token carries its own proof beside its session’s', async () => {
  const { tokens, sign, kid } = await stage()
  expect(await tokens.verifyToken(await sign({}), NOW_MS)).toMatchObject({
    proofs: [
      { names: ['token:postern:t_1', `kid:postern:${kid}`, 'issuer:postern'], issuedAtMs: expect.any(Number) },
      { names: ['session:s_1'] },
    ],
  })
  const unnamed = (await tokens.verifyToken(await sign({ jti: undefined }), NOW_MS)) as Authentication
  expect(unnamed.proofs[0]!.names[0]).toMatch(/^token:postern:#[\w-]{43}$/)
})

test('[FR-037] a token is refused once its jti, its key, the issuer or everything was ended, from memory and anew', async () => {
  for (const at of [0, 1, 2, 3]) {
    const { tokens, sign, kid, revocations } = await stage()
    const token = await sign({})
    await tokens.verifyToken(token, NOW_MS)
    const name = ['token:postern:t_1', `kid:postern:${kid}`, 'issuer:postern', EVERYTHING][at]!
    revocations.revoke(name, 'end', NOW_MS)
    expect(await tokens.verifyToken(token, NOW_MS)).toMatchObject({ reason: 'token.revoked' })
    expect(await tokens.verifyToken(token, NOW_MS + 11_000)).toMatchObject({ reason: 'token.revoked' })
  }
})

test('[FR-037] a clock that was ahead when a token was signed does not save it from the end of the issuer', async () => {
  const { tokens, sign, revocations, session } = await stage()
  session.row = { ...session.row, proof: { ...session.row.proof, issuedAtMs: NOW_MS - 3_600_000 } }
  const token = await sign({ iat: NOW_MS / 1000 + 4 })
  expect(await tokens.verifyToken(token, NOW_MS)).toMatchObject({ principal: { subject: 'u_1' } })
  revocations.revoke('issuer:postern', 'end', NOW_MS)
  expect(await tokens.verifyToken(token, NOW_MS)).toMatchObject({ reason: 'token.revoked' })
  const later = await sign({ iat: NOW_MS / 1000 + 6 })
  expect(await tokens.verifyToken(later, NOW_MS + 6000)).toMatchObject({ principal: { subject: 'u_1' } })
})

test('[FR-032] tokens forged in our name are verified once, whoever sends them again, and never shared', async () => {
  const { tokens, sign, credentials } = await stage()
  const [header, , signature] = (await sign({})).split('.')
  const body = Buffer.from(JSON.stringify({ sub: 'admin' })).toString('base64url')
  const forged = `${header}.${body}.${signature}`
  expect(await tokens.verifyToken(forged, NOW_MS)).toMatchObject({ reason: 'token.signature' })
  expect(tokens.verifyToken(forged, NOW_MS)).toMatchObject({ reason: 'token.signature' })
  expect(credentials.status()).toMatchObject({ entries: 0, misses: 1, negativeHits: 1 })
})

test('[FR-034] a token is as young as its session, where `iat` tells the second only', async () => {
  const { tokens, sign, session } = await stage()
  session.row = { ...session.row, proof: { ...session.row.proof, issuedAtMs: NOW_MS - 250 } }
  const found = (await tokens.verifyToken(await sign({ iat: Math.floor(NOW_MS / 1000) - 1 }), NOW_MS)) as Authentication
  expect(found.proofs[0]!.issuedAtMs).toBe(NOW_MS - 250)
})
