/**
 * The level that nodes share, held by someone hostile: whatever is forged, copied, swapped, replayed, cut or kept too long is a
 * miss, and nobody gets in or comes back by it (SECURITY rule 24).
 */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSealer } from '../identity-provider/sealer.ts'
import { type Principal, Refusal } from '../model.ts'
import { primitives } from '../node/crypto.ts'
import { nameOf } from '../revocation/names.ts'
import {
  cacheOf,
  NOW_MS,
  type NodeOptions,
  type OpenStore,
  openStore,
  principalNamed,
  SCOPE,
  verifiedAs,
  whoIn,
} from '../test/support/credentials.ts'
import { type ScriptedRevocations, scriptedRevocations } from '../test/support/revocations.ts'
import type { Verified } from './cache.ts'
import { sharedEntries } from './shared-entries.ts'

const FORGED = new Refusal('token.signature')
const refuse = async () => FORGED

/** Two nodes of one fleet, or more: one log, one store, a cache each. */
function fleet(options: NodeOptions<ScriptedRevocations> = {}) {
  const store = openStore()
  const revocations = scriptedRevocations()
  const node = (more: NodeOptions<ScriptedRevocations> = {}) => cacheOf({ store, revocations, ...options, ...more })
  return { store, revocations, node, first: node(), second: node() }
}

const learn = (node: ReturnType<typeof cacheOf>, credential: string, found: Verified, nowMs = NOW_MS) =>
  node.lookUp(SCOPE, credential, nowMs, async () => found)

/** Who a node takes it for, were Redis all it had. */
const ask = async (node: ReturnType<typeof cacheOf>, credential: string, nowMs = NOW_MS, scope = SCOPE) =>
  whoIn(await node.lookUp(scope, credential, nowMs, refuse))

function only(store: OpenStore): readonly [string, string] {
  const [entry] = store.values
  if (entry === undefined || store.values.size !== 1) throw new Error(`${store.values.size} values are shared`)
  return entry
}

test('[FR-032] what one node verified another answers, proof and all, without verifying', async () => {
  const { first, second, revocations } = fleet()
  revocations.revoke('subject:somebody')
  const rate = { burst: 5, intervalMs: 1000 }
  const more = principalNamed('u1', { credential: 'key', keyId: 'k1', expiresAtMs: Number.POSITIVE_INFINITY })
  const here = await learn(first, 'x', verifiedAs('u1', { principal: more, rate }))
  const there = await second.lookUp(SCOPE, 'x', NOW_MS, refuse)
  expect(there).toEqual(here)
  expect(there).toMatchObject({ rate, proofs: [{ sequence: 1 }], principal: { expiresAtMs: Number.POSITIVE_INFINITY } })
  expect(second.status()).toMatchObject({ sharedHits: 1, misses: 0 })
  expect(second.lookUp(SCOPE, 'x', NOW_MS, refuse)).toBe(there)
})

test('[FR-039] what an issuer said, and that a second factor was shown, comes back as it was, and nobody can change it', async () => {
  const { first, second } = fleet()
  const claims = Object.freeze({ department: 'eng', level: 3, on: false, teams: Object.freeze(['a', 1, true]) })
  await learn(first, 'x', verifiedAs('u1', { principal: principalNamed('u1', { claims, hasSecondFactor: true }) }))
  const there = await second.lookUp(SCOPE, 'x', NOW_MS, refuse)
  expect(there).toMatchObject({ principal: { claims, hasSecondFactor: true } })
  if (!('principal' in there) || there.principal === null) throw new Error('nobody')
  const { principal } = there
  expect(principal.claims).toEqual(claims)
  for (const part of [principal, principal.claims, principal.claims['teams'], principal.roles]) {
    expect(Object.isFrozen(part)).toBe(true)
  }
})

test('[FR-032] neither names nor values in Redis hold the credential or a plain hash of it', async () => {
  const { first, store } = fleet()
  await learn(first, 'the-credential', verifiedAs('u1'))
  const [name, sealed] = only(store)
  const all = `${name} ${sealed} ${sealed.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'))}`
  expect(all).not.toContain('the-credential')
  for (const text of ['the-credential', first.frame(SCOPE, 'the-credential')]) {
    expect(all).not.toContain(primitives.sha256(text))
    expect(all).not.toContain(Buffer.from(primitives.sha256(text), 'base64url').toString('hex'))
  }
})

test('[FR-032] a value lives in Redis no longer than the credential, nor than the cap', async () => {
  const { first, store } = fleet()
  await learn(first, 'x', verifiedAs('u1', { staleAtMs: NOW_MS + 1234 }))
  expect([...store.lives.values()]).toEqual([1234])
  await learn(first, 'y', verifiedAs('u1', { staleAtMs: Number.POSITIVE_INFINITY }))
  expect([...store.lives.values()]).toEqual([1234, 600_000])
})

test('[FR-032] failures are never shared', async () => {
  const { first, store } = fleet()
  await first.lookUp(SCOPE, 'x', NOW_MS, refuse)
  expect(store.values.size).toBe(0)
})

test('[FR-032] another configuration of the verifier, or another kind, does not find it', async () => {
  const { first, second } = fleet()
  await learn(first, 'x', verifiedAs('u1'))
  expect(await ask(second, 'x', NOW_MS, { ...SCOPE, verifier: 'v2' })).toBe('token.signature')
  expect(await ask(second, 'x', NOW_MS, { ...SCOPE, kind: 'key' })).toBe('token.signature')
})

describe('a writable Redis', () => {
  test('[FR-032] the value of one credential under the name of another is a miss, counted, and said once', async () => {
    const { first, second, store } = fleet()
    await learn(first, 'admin’s', verifiedAs('admin'))
    const [, admins] = only(store)
    await learn(first, 'mallory’s', verifiedAs('mallory'))
    for (const name of store.values.keys()) store.values.set(name, admins)
    expect(await ask(second, 'mallory’s')).toBe('token.signature')
    for (let at = 0; at < 10; at += 1) await ask(second, `mallory’s ${at}`)
    expect(await ask(second, 'admin’s')).toBe('admin')
    expect(second.status().badSeals).toBe(1)
    await ask(cacheOf({ store, revocations: scriptedRevocations() }), 'mallory’s')
    expect(second.logged).toHaveLength(1)
    expect(String(second.logged[0])).not.toContain('mallory')
  })

  test('[FR-032] any change of any character is a miss', async () => {
    const { first, node, store } = fleet()
    await learn(first, 'x', verifiedAs('u1'))
    const [name, sealed] = only(store)
    const changed = fc.record({ at: fc.nat(sealed.length - 1), to: fc.constantFrom('A', 'b', '0', '_', '.', '', ' ') })
    await fc.assert(
      fc.asyncProperty(changed, async ({ at, to }) => {
        fc.pre(sealed[at] !== to)
        store.values.set(name, sealed.slice(0, at) + to + sealed.slice(at + 1))
        expect(await ask(node(), 'x')).toBe('token.signature')
      }),
      { numRuns: 300 },
    )
  })

  const rewrites: readonly (readonly [string, (sealed: string) => string])[] = [
    ['nothing', () => ''],
    ['what we never wrote', () => 'admin'],
    ['JSON', () => JSON.stringify({ principal: principalNamed('admin') })],
    ['a later end', (sealed) => `${(NOW_MS + 500_000).toString(36)}${sealed.slice(sealed.indexOf('.'))}`],
    ['no seal', (sealed) => sealed.slice(0, sealed.lastIndexOf('.') + 1)],
    ['half of it', (sealed) => sealed.slice(0, sealed.length / 2)],
    ['twice of it', (sealed) => sealed + sealed],
    ['a megabyte', () => 'A.'.repeat(500_000)],
  ]
  for (const [what, rewrite] of rewrites) {
    test(`[FR-032] a value rewritten to ${what} is a miss`, async () => {
      const { first, second, store } = fleet()
      await learn(first, 'x', verifiedAs('u1'))
      const [name, sealed] = only(store)
      store.values.set(name, rewrite(sealed))
      expect(await ask(second, 'x')).toBe('token.signature')
      expect(second.status().badSeals).toBe(1)
    })
  }

  test('[FR-032] a value sealed under another secret, or for another purpose, is a miss', async () => {
    const { first, second, node, store } = fleet()
    await learn(first, 'x', verifiedAs('admin'))
    const [name, sealed] = only(store)
    const text = Buffer.from(sealed.split('.')[1]!, 'base64url').toString()
    const foreign = createSealer(primitives, [primitives.hkdfSha256('mallory’s own secret', 'credential-seal')])
    store.values.set(name, await foreign.seal(`credential/2/${name}`, text, NOW_MS + 60_000))
    expect(await ask(second, 'x')).toBe('token.signature')
    const ours = createSealer(primitives, [
      primitives.hkdfSha256('the first secret, which is long enough', 'credential-seal'),
    ])
    for (const purpose of [
      'return',
      'credential',
      `credential/${name}`,
      `credential/1/${name}`,
      `credential/2/${name}0`,
    ]) {
      store.values.set(name, await ours.seal(purpose, text, NOW_MS + 60_000))
      expect(await ask(node(), 'x')).toBe('token.signature')
    }
  })

  test('[FR-032] a value is replayed after its end: a miss', async () => {
    const { first, second, store } = fleet()
    await learn(first, 'x', verifiedAs('u1'))
    const [name, sealed] = only(store)
    store.values.delete(name)
    store.values.set(name, sealed)
    expect(await ask(second, 'x', NOW_MS + 60_000)).toBe('token.signature')
  })

  test('[FR-032] a value that a clock running ahead would keep alive for longer than any may live is a miss', async () => {
    const { first, second } = fleet()
    await learn(first, 'x', verifiedAs('u1', { staleAtMs: NOW_MS + 3_600_001 }), NOW_MS + 3_600_000)
    expect(await ask(second, 'x')).toBe('token.signature')
  })

  test('[FR-033] a value is replayed after its revocation, or its holder’s demotion: a miss', async () => {
    const { first, second, node, store, revocations } = fleet()
    await learn(first, 'x', verifiedAs('u1', { principal: principalNamed('u1', { roles: ['admin'] }) }))
    const [name, sealed] = only(store)
    revocations.revoke('subject:u1')
    const demoted = await learn(first, 'x', verifiedAs('u1'))
    expect(demoted).toMatchObject({ principal: { roles: ['reader'] } })
    store.values.set(name, sealed)
    expect(await learn(second, 'x', verifiedAs('u1'))).toMatchObject({ principal: { roles: ['reader'] } })
    store.values.set(name, sealed)
    expect(await ask(node(), 'x')).toBe('token.signature')
    expect(await ask(first, 'x')).toBe('u1')
  })

  test('[FR-033] a value of a log that this node does not know is a miss', async () => {
    const { first, node, revocations } = fleet()
    revocations.revoke('subject:somebody')
    await learn(first, 'x', verifiedAs('u1'))
    expect(await ask(node({ revocations: scriptedRevocations() }), 'x')).toBe('token.signature')
    expect(await ask(node(), 'x')).toBe('u1')
  })

  test('[FR-033] what was ended for good is not answered from Redis, whatever number it carries', async () => {
    const { first, store, revocations } = fleet()
    await learn(first, 'x', verifiedAs('u1'))
    expect(store.values.size).toBe(1)
    const blind = cacheOf({
      store,
      revocations: { ...revocations, sequence: 0, isDead: () => false, isEnded: () => true },
    })
    expect(await ask(blind, 'x')).toBe('token.signature')
    expect(blind.status().sharedHits).toBe(0)
  })
})

describe('the refill race', () => {
  test('[FR-033] a revocation while the value is fetched: it is not answered, nor kept', async () => {
    const { first, store, revocations } = fleet()
    await learn(first, 'x', verifiedAs('u1'))
    const slow: OpenStore = {
      ...store,
      async get(key) {
        const value = await store.get(key)
        revocations.revoke('subject:u1')
        return value
      },
    }
    const node = cacheOf({ store: slow, revocations })
    expect(await ask(node, 'x')).toBe('token.signature')
    expect(node.status()).toMatchObject({ entries: 0, sharedHits: 0 })
  })

  test('[FR-033] a revocation between a node’s read and its write-back: what it writes revives nobody, there or here', async () => {
    const { store, revocations } = fleet()
    // The first node reads, is held up before it hears of the revocation, and writes back what it read.
    const deaf = scriptedRevocations()
    const late = cacheOf({ store, revocations: deaf })
    await learn(late, 'x', verifiedAs('u1'))
    expect(store.values.size).toBe(1)
    revocations.revoke('subject:u1')
    const node = cacheOf({ store, revocations })
    expect(await ask(node, 'x')).toBe('token.signature')
    deaf.revoke('subject:u1')
    expect(await ask(late, 'x')).toBe('token.signature')
  })

  test('[FR-033] a log that went stale while the value was fetched: caught up with, or 503', async () => {
    const { first, store, revocations } = fleet()
    await learn(first, 'x', verifiedAs('u1'))
    const stalls: OpenStore = {
      ...store,
      async get(key) {
        revocations.state.isFresh = false
        revocations.state.canCatchUp = false
        return store.get(key)
      },
    }
    const node = cacheOf({ store: stalls, revocations })
    expect(whoIn(await node.lookUp(SCOPE, 'x', NOW_MS, async () => verifiedAs('u1')))).toBe('revocation.stale')
  })
})

test('[FR-032] a verifier that was dropped is not believed from Redis until what it left there has ended', async () => {
  const { first, second } = fleet()
  await learn(first, 'x', verifiedAs('u1', { staleAtMs: Number.POSITIVE_INFINITY }))
  second.dropVerifier(SCOPE.verifier)
  expect(await ask(second, 'x')).toBe('token.signature')
  await learn(first, 'y', verifiedAs('u2', { staleAtMs: Number.POSITIVE_INFINITY }), NOW_MS + 600_001)
  expect(await ask(second, 'y', NOW_MS + 600_001)).toBe('u2')
})

test('[FR-032] a verifier that is dropped while its value is fetched: it is not answered', async () => {
  const { first, store, revocations } = fleet()
  await learn(first, 'x', verifiedAs('u1'))
  const late: OpenStore = {
    ...store,
    async get(key) {
      node.dropVerifier(SCOPE.verifier)
      return store.get(key)
    },
  }
  const node = cacheOf({ store: late, revocations })
  expect(await ask(node, 'x')).toBe('token.signature')
})

test('[FR-032] a Redis that fails is a miss, and the verification has its whole time', async () => {
  const store = { ...openStore(), get: () => Promise.reject(new Error('down')) }
  const node = cacheOf({ store })
  expect(whoIn(await learn(node, 'x', verifiedAs('u1')))).toBe('u1')
  expect(node.logged).toEqual([])
})

test('[FR-032] whatever a principal holds comes back as it was, and what is too long is not shared', async () => {
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  const texts = fc.array(text, { maxLength: 5 })
  const end = fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.maxSafeNat())
  const principal = fc.record({
    name: fc.option(text),
    roles: texts,
    scopes: texts,
    groups: texts,
    methods: texts,
    expiresAtMs: end,
  })
  const store = openStore()
  const level = sharedEntries({
    store,
    sealer: createSealer(primitives, [new Uint8Array(32)]),
    primitives,
    nameKey: new Uint8Array(32),
    log: () => {},
  })
  await fc.assert(
    fc.asyncProperty(fc.string({ minLength: 1 }), principal, async (subject, more: Partial<Principal>) => {
      const names = [nameOf.subject(subject)]
      const written = { ...verifiedAs(subject), principal: principalNamed(subject, more), names, sequence: 3 }
      level.write('x', written, NOW_MS)
      expect(await level.read('x', NOW_MS)).toEqual(written)
    }),
  )
  level.write(
    'y',
    { ...verifiedAs('u1', { principal: principalNamed('u1', { groups: ['x'.repeat(20_000)] }) }), sequence: 1 },
    NOW_MS,
  )
  expect(store.values.size).toBe(1)
})
