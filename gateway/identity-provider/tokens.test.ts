/** Bearer tokens of ours: what is remembered of them, and what is asked each time. */

import { expect, test } from 'vitest'
import { generateSigningKey, importSigningKey, keyFinder } from '../jwt/keys.ts'
import { signClaims } from '../jwt/sign.ts'
import type { Principal } from '../model.ts'
import type { LiveSession, Sessions } from './sessions.ts'
import type { TokenKeys } from './token-keys.ts'
import { createTokens } from './tokens.ts'

const ORIGIN = 'https://books.example.com'
const NOW_MS = 1_800_000_000_000

/** A verifier over one key and one session; how often the keys are read again is counted. */
async function stage() {
  const { kid, publicJwk, privateJwk } = await generateSigningKey()
  const privateKey = await importSigningKey(privateJwk)
  const state = { reads: 0, isDown: false, published: [publicJwk] as object[] }
  let find = keyFinder({ keys: state.published })
  const keys: TokenKeys = {
    finder: (header, token) => find(header, token),
    publicKeys: () => state.published,
    async refresh() {
      state.reads += 1
      if (state.isDown) throw new Error('down')
      find = keyFinder({ keys: state.published })
    },
  }
  const live = {
    principal: { subject: 'u_1', expiresAtMs: NOW_MS + 60_000, roles: ['user'] },
  } as unknown as LiveSession
  const sessions = { verifyId: () => live } as unknown as Sessions
  const tokens = createTokens({ origin: ORIGIN, keys, sessions })
  const claims = { iss: ORIGIN, aud: ORIGIN, sub: 'u_1', sid: 's_1', exp: NOW_MS / 1000 + 900 }
  return {
    tokens,
    state,
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
  const principal = (await tokens.verifyToken(token, NOW_MS)) as Principal
  expect(principal.expiresAtMs).toBe(NOW_MS + 30_000)
  expect(tokens.verifyToken(token, NOW_MS + 34_000)).toBe(principal)
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
  expect(await tokens.verifyToken(token, NOW_MS + 5001)).toMatchObject({ subject: 'u_1' })
})

test('[FR-023] an unknown key while the store is down is "cannot tell", and known keys go on verifying', async () => {
  const { tokens, state, claims, sign } = await stage()
  state.isDown = true
  const other = await generateSigningKey()
  const privateKey = await importSigningKey(other.privateJwk)
  const token = await signClaims({ kid: other.kid, privateKey }, 'JWT', claims)
  expect(await tokens.verifyToken(token, NOW_MS)).toMatchObject({ reason: 'keys.unavailable' })
  expect(await tokens.verifyToken(await sign({}), NOW_MS)).toMatchObject({ subject: 'u_1' })
})
