/** What an upstream is told under our signature, and for how long it holds. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { generateSigningKey, importSigningKey } from '../jwt/keys.ts'
import type { Principal } from '../model.ts'
import { EVERYTHING } from '../revocation/names.ts'
import {
  claimsOf,
  createStore,
  headerOf,
  ORIGIN,
  startNode,
  type TestNode,
  type TestStore,
} from '../test/ports/identity.ts'
import { scriptedRevocations } from '../test/support/revocations.ts'
import { createAssertions } from './assertions.ts'
import type { SigningKeys } from './signing-keys.ts'

let store: TestStore
let node: TestNode
let principal: Principal
beforeAll(async () => {
  store = await createStore('sqlite')
  node = await startNode(store)
  const client = node.client()
  await client.signUp('ada@example.com')
  const found = await node.sessions.verifyCookie(client.session, Date.now())
  principal = (found as { principal: Principal }).principal
})
afterAll(async () => {
  await node.stop()
  await store.remove()
})

const nowMs = Date.now()
const assert = (who = principal, upstream = 'books', atMs = nowMs) => node.assertions.assertionFor(who, upstream, atMs)

test('[FR-008] an assertion says who, to whom, by whom and until when, and is of a type of its own', async () => {
  const jws = await assert()
  expect(headerOf(jws)).toMatchObject({ alg: 'ES256', typ: 'postern-assertion+jwt' })
  const iat = Math.floor(nowMs / 1000)
  expect(claimsOf(jws)).toEqual({
    iss: `${ORIGIN}/assertion`,
    aud: 'books',
    sub: principal.subject,
    iat,
    exp: iat + 60,
    roles: ['user'],
    sid: principal.sessionId,
    amr: ['pwd'],
    auth_time: Math.floor(principal.authenticatedAtMs! / 1000),
  })
})

test('[FR-008] only a verified e-mail is asserted', async () => {
  expect(claimsOf(await assert())).not.toHaveProperty('email')
  const verified = claimsOf(await assert({ ...principal, emailVerified: true }))
  expect(verified).toMatchObject({ email: 'ada@example.com', email_verified: true })
})

test('[FR-008] an assertion from memory costs no promise, and another principal object of the same facts finds it', async () => {
  const jws = await assert()
  expect(assert()).toBe(jws)
  expect(assert({ ...principal })).toBe(jws)
})

test('[FR-008] whoever differs in any fact, or in the upstream, gets an assertion of their own', async () => {
  const jws = await assert()
  const others: readonly Partial<Principal>[] = [
    { roles: ['admin'] },
    { sessionId: 'another' },
    { subject: 'another' },
    { methods: [] },
    { authenticatedAtMs: null },
    { emailVerified: true },
    { source: 'another' },
    { keyId: 'another' },
  ]
  for (const change of others) expect(await assert({ ...principal, ...change })).not.toBe(jws)
  expect(await assert(principal, 'billing')).not.toBe(jws)
})

test('[FR-034] a revocation evicts what was signed before it, even where every fact stayed the same', async () => {
  const revocations = scriptedRevocations()
  const facts = { sessionId: 's_1', keyId: 'k_1', source: 'ci', subject: 'ci:u_1' }
  const store = { signerAt: () => signer } as unknown as SigningKeys
  const signing = await generateSigningKey()
  const signer = { kid: signing.kid, privateKey: await importSigningKey(signing.privateJwk) }
  const assertions = createAssertions(store, ORIGIN, revocations, fail)
  const ask = () => assertions.assertionFor({ ...principal, ...facts }, 'books', nowMs)
  for (const name of ['subject:ci:u_1', 'session:s_1', 'key:k_1', 'issuer:ci', EVERYTHING]) {
    const jws = await ask()
    revocations.revoke('subject:somebody else')
    expect(ask()).toBe(jws)
    revocations.revoke(name)
    expect(await ask()).not.toBe(jws)
  }
})

test('[FR-032] what is remembered of assertions is bounded in bytes, whatever an issuer says of its people', async () => {
  const methods = ['x'.repeat(16_000)]
  const jws = await assert({ ...principal, methods, subject: 'first' })
  expect(assert({ ...principal, methods, subject: 'first' })).toBe(jws)
  // Some 75 kB each.
  for (let at = 0; at < 1000; at += 1) await assert({ ...principal, methods, subject: `u_${at}` })
  expect(assert({ ...principal, methods, subject: 'u_999' })).not.toBeInstanceOf(Promise)
  expect(assert({ ...principal, methods, subject: 'first' })).toBeInstanceOf(Promise)
})

test('[FR-008] what is served always has twenty seconds to live, and is renewed while it still serves', async () => {
  const who = { ...principal, subject: 'u_renewed' }
  let promises = 0
  for (let atMs = nowMs; atMs < nowMs + 300_000; atMs += 1000) {
    const found = assert(who, 'books', atMs)
    if (found instanceof Promise) promises += 1
    const jws = await found
    expect(claimsOf(jws).exp * 1000 - atMs).toBeGreaterThanOrEqual(20_000)
    // A renewal has begun in the background: let it finish, as it would within a second.
    if (claimsOf(jws).exp * 1000 - atMs <= 30_000) await expect.poll(() => assert(who, 'books', atMs)).not.toBe(jws)
  }
  expect(promises).toBe(1)
})

test('[FR-008] a clock that was set back makes no assertion live longer', async () => {
  const who = { ...principal, subject: 'u_clock' }
  const late = await assert(who, 'books', nowMs + 3_600_000)
  const jws = await assert(who, 'books', nowMs)
  expect(jws).not.toBe(late)
  expect(claimsOf(jws).exp * 1000 - nowMs).toBeLessThanOrEqual(60_000)
})

test('[FR-008] an assertion opens nothing here: not as a token, and not by its key', async () => {
  expect(await node.tokens.verifyToken(await assert(), nowMs)).toMatchObject({ reason: 'token.key-unknown' })
  const { keys } = await node.provider.publicKeys()
  const { kid } = headerOf(await assert())
  expect(keys.map((key) => (key as { kid: string }).kid)).toContain(kid)
})

function fail(error: unknown): void {
  throw error
}
