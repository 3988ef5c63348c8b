/** The cache in one process: what is remembered, how long, and every race between a verification and a revocation. */

import { expect, test } from 'vitest'
import { type Authentication, Refusal, type Soon } from '../model.ts'
import { cacheOf, ENDED, held, NOW_MS, SCOPE, verifiedAs, whoIn } from '../test/support/credentials.ts'
import { scriptedRevocations } from '../test/support/revocations.ts'
import type { Verified } from './cache.ts'

type Answer = Verified | Refusal

/** A cache whose verifications answer what the test sets, and are counted. */
function stage(first: Answer = verifiedAs('u1')) {
  const revocations = scriptedRevocations()
  const cache = cacheOf({ revocations })
  const state = { answer: first, runs: 0 }
  const ask = (nowMs = NOW_MS, credential = 'a credential', scope = SCOPE): Soon<Authentication | Refusal> =>
    cache.lookUp(scope, credential, nowMs, async () => {
      state.runs += 1
      return state.answer
    })
  return { revocations, cache, state, ask, who: async (nowMs = NOW_MS) => whoIn(await ask(nowMs)) }
}

test('[FR-032] a hit is a value and not a promise, the same object each time', async () => {
  const { ask, state, cache } = stage()
  const first = await ask()
  expect(ask(NOW_MS + 59_999)).toBe(first)
  expect(first).toMatchObject({
    principal: { subject: 'u1' },
    proofs: [{ sequence: 0, names: ['subject:u1'] }],
    setCookies: [],
  })
  expect(state.runs).toBe(1)
  expect(cache.status()).toMatchObject({ entries: 1, hits: 1, misses: 1 })
})

test('[FR-032] an entry ends when its verifier said, and never lives longer than the cap', async () => {
  const { ask, state } = stage(verifiedAs('u1', { staleAtMs: Number.POSITIVE_INFINITY }))
  await ask()
  expect(ask(NOW_MS + 599_999)).not.toBeInstanceOf(Promise)
  await ask(NOW_MS + 600_000)
  expect(state.runs).toBe(2)
  state.answer = verifiedAs('u1', { staleAtMs: NOW_MS + 1_200_000 + 5 })
  await ask(NOW_MS + 1_200_000)
  await ask(NOW_MS + 1_200_005)
  expect(state.runs).toBe(4)
})

test('[FR-032] a clock that was set back makes no entry live on', async () => {
  const { ask, state } = stage()
  await ask()
  await ask(NOW_MS - 1000)
  expect(state.runs).toBe(1)
  await ask(NOW_MS - 1001)
  expect(state.runs).toBe(2)
})

test('[FR-032] kind, verifier and text name an entry together, and none runs into another', async () => {
  const { cache } = stage()
  const spellings = [
    ['jwt', 'v1', 'x'],
    ['jwt', 'v2', 'x'],
    ['key', 'v1', 'x'],
    ['jw', 'tv1', 'x'],
    ['jwt', 'v', '1x'],
    ['jwt', 'v1', 'X'],
    ['jwt', 'v1', 'x '],
    ['jwt2', ':v1x', ''],
    ['jwt', '', '2:v1x'],
  ] as const
  for (const [at, [kind, verifier, credential]] of spellings.entries()) {
    const found = await cache.lookUp({ kind, verifier, ended: ENDED }, credential, NOW_MS, async () =>
      verifiedAs(`u${at}`),
    )
    expect(whoIn(found)).toBe(`u${at}`)
  }
  expect(cache.status().entries).toBe(spellings.length)
})

test('[FR-032] one text that two verifiers accept stays two credentials, however often each is asked', async () => {
  const { cache } = stage()
  const scopes = [SCOPE, { ...SCOPE, verifier: 'another' }]
  for (let times = 0; times < 3; times++) {
    for (const [at, scope] of scopes.entries()) {
      const found = await cache.lookUp(scope, 'x', NOW_MS, async () => verifiedAs(`u${at}`))
      expect(whoIn(found)).toBe(`u${at}`)
    }
  }
})

test('[FR-032] what is revoked is verified again, and what is not revoked is not', async () => {
  const { who, state, revocations } = stage()
  await who()
  revocations.revoke('subject:somebody else')
  await who()
  expect(state.runs).toBe(1)
  revocations.revoke('subject:u1')
  state.answer = new Refusal('token.inactive')
  expect(await who()).toBe('token.inactive')
  expect(state.runs).toBe(2)
})

test('[FR-032] what verifies and was ended is refused with its own reason, from memory too', async () => {
  const { who, state, revocations } = stage()
  await who()
  revocations.revoke('subject:u1', 'end', NOW_MS)
  expect(await who()).toBe('token.revoked')
  expect(await who()).toBe('token.revoked')
  expect(state.runs).toBe(2)
  state.answer = verifiedAs('u1', { issuedAtMs: NOW_MS + 1, staleAtMs: NOW_MS + 90_000 })
  expect(await who(NOW_MS + 11_000)).toBe('u1')
})

test('[FR-033] refill race: a revocation during the verification makes it run again, and the first result is nobody’s', async () => {
  const { cache, revocations } = stage()
  const gate = held<Answer>()
  const asking = cache.lookUp(SCOPE, 'x', NOW_MS, gate.verify)
  revocations.revoke('subject:u1')
  gate.release(verifiedAs('u1'))
  await expect.poll(gate.count).toBe(1)
  gate.release(new Refusal('token.inactive'))
  expect(whoIn(await asking)).toBe('token.inactive')
  expect(cache.status().entries).toBe(0)
})

test('[FR-033] a name that was marked before its number was reached: the log is read before the credential lives again', async () => {
  const { cache, revocations } = stage()
  revocations.announce('subject:u1')
  let runs = 0
  const found = await cache.lookUp(SCOPE, 'x', NOW_MS, async () => {
    runs += 1
    return verifiedAs('u1')
  })
  expect(whoIn(found)).toBe('u1')
  expect([runs, revocations.state.reads]).toEqual([2, 1])
})

test('[FR-033] a credential that is revoked again and again during its verification is not let in', async () => {
  const { cache, revocations } = stage()
  let runs = 0
  const found = await cache.lookUp(SCOPE, 'x', NOW_MS, async () => {
    runs += 1
    revocations.revoke('subject:u1')
    return verifiedAs('u1')
  })
  expect(whoIn(found)).toBe('credential.unavailable')
  expect(runs).toBe(3)
})

test('[FR-033] a revocation right after the verification was found good, and before it is answered, counts', async () => {
  const revocations = scriptedRevocations()
  let isArmed = true
  const cache = cacheOf({
    revocations: {
      ...revocations,
      get sequence() {
        return revocations.sequence
      },
      isEnded() {
        if (isArmed) revocations.revoke('subject:u1')
        isArmed = false
        return false
      },
    },
  })
  let runs = 0
  await cache.lookUp(SCOPE, 'x', NOW_MS, async () => {
    runs += 1
    return verifiedAs('u1')
  })
  expect(runs).toBe(2)
})

test('[FR-032] who joins a verification late is not answered with what has ended for them', async () => {
  const { cache } = stage()
  const gate = held<Answer>()
  const early = cache.lookUp(SCOPE, 'x', NOW_MS, gate.verify)
  const late = cache.lookUp(SCOPE, 'x', NOW_MS + 2000, async () => new Refusal('token.expired'))
  gate.release(verifiedAs('u1', { staleAtMs: NOW_MS + 1000 }))
  expect(whoIn(await early)).toBe('u1')
  expect(whoIn(await late)).toBe('token.expired')
})

test('[FR-032] what is remembered for no time at all serves whoever asks, however many ask at once', async () => {
  const { cache } = stage()
  const gate = held<Answer>()
  const asking = Array.from({ length: 20 }, (_, at) => cache.lookUp(SCOPE, 'x', NOW_MS + at, gate.verify))
  expect(gate.count()).toBe(1)
  gate.release(verifiedAs('u1', { staleAtMs: NOW_MS }))
  await expect.poll(gate.count).toBe(19)
  gate.release(verifiedAs('u1', { staleAtMs: NOW_MS }))
  expect((await Promise.all(asking)).map(whoIn)).toEqual(Array.from({ length: 20 }, () => 'u1'))
  expect(cache.status().entries).toBe(0)
})

test('[FR-035] a log that is not fresh is caught up with before a hit counts, and else it is 503', async () => {
  const { ask, who, revocations, state } = stage()
  const first = await ask()
  revocations.state.isFresh = false
  expect(await ask()).toBe(first)
  expect([state.runs, revocations.state.reads]).toEqual([1, 1])
  revocations.state.isFresh = false
  revocations.state.canCatchUp = false
  expect(await who()).toBe('revocation.stale')
  expect(state.runs).toBe(1)
  revocations.state.isFresh = true
  expect(await who()).toBe('u1')
})

test('[FR-035] a log that went stale during the verification is caught up with before its result counts', async () => {
  const { cache, revocations } = stage()
  const gate = held<Answer>()
  const asking = cache.lookUp(SCOPE, 'x', NOW_MS, gate.verify)
  revocations.state.isFresh = false
  revocations.state.canCatchUp = false
  gate.release(verifiedAs('u1'))
  expect(whoIn(await asking)).toBe('revocation.stale')
  expect(cache.status().entries).toBe(0)
})

test('[FR-032] a hundred who ask at once cost one verification', async () => {
  const { ask, state } = stage()
  const all = await Promise.all(Array.from({ length: 100 }, () => ask()))
  expect(state.runs).toBe(1)
  expect(new Set(all).size).toBe(1)
})

test('[FR-032] a flight is never shared by credentials that differ in one character', async () => {
  const { cache } = stage()
  const gates = new Map<string, (answer: Answer) => void>()
  const texts = ['credential-a', 'credential-b', 'credential-A', 'credential-a ', 'credential-']
  const asking = texts.map((text) =>
    cache.lookUp(SCOPE, text, NOW_MS, () => new Promise<Answer>((resolve) => gates.set(text, resolve))),
  )
  for (const text of texts.toReversed()) gates.get(text)!(verifiedAs(text))
  expect((await Promise.all(asking)).map(whoIn)).toEqual(texts)
})

test('[FR-033] who comes after an entry of the log does not join a flight that began before it', async () => {
  const { cache, revocations } = stage()
  const early = held<Answer>()
  const first = cache.lookUp(SCOPE, 'x', NOW_MS, early.verify)
  revocations.revoke('subject:somebody else')
  const late = cache.lookUp(SCOPE, 'x', NOW_MS, async () => verifiedAs('the truth'))
  expect(whoIn(await late)).toBe('the truth')
  early.release(verifiedAs('what was true'))
  await first
})

test('[FR-032] verifications that hang do not pile up without end, and one kind leaves room for another', async () => {
  const { cache } = stage()
  const gate = held<Answer>()
  const asking = Array.from({ length: 600 }, (_, at) => cache.lookUp(SCOPE, `t${at}`, NOW_MS, gate.verify))
  expect(gate.count()).toBe(512)
  const other = await cache.lookUp({ ...SCOPE, kind: 'key' }, 'k', NOW_MS, async () => verifiedAs('machine'))
  expect(whoIn(other)).toBe('machine')
  gate.release(verifiedAs('u1'))
  const found = (await Promise.all(asking)).map(whoIn)
  expect(found.filter((who) => who === 'credential.unavailable')).toHaveLength(88)
  expect(whoIn(await cache.lookUp(SCOPE, 'afterwards', NOW_MS, async () => verifiedAs('u2')))).toBe('u2')
})

test('[FR-032] a verification that throws is "cannot tell", is said, and is not remembered', async () => {
  const { cache, who } = stage()
  const found = await cache.lookUp(SCOPE, 'a credential', NOW_MS, () => Promise.reject(new Error('broken')))
  expect(whoIn(found)).toBe('credential.unavailable')
  expect(cache.logged).toHaveLength(1)
  expect(await who()).toBe('u1')
})

test('[FR-032] what a verifier found is forgotten with it: in memory, in flight, and nothing else', async () => {
  const { cache, ask, state } = stage()
  await ask()
  const other = { ...SCOPE, verifier: 'v2' }
  await ask(NOW_MS, 'a credential', other)
  const gate = held<Answer>()
  const asking = cache.lookUp(SCOPE, 'in flight', NOW_MS, gate.verify)
  cache.dropVerifier('v1')
  gate.release(verifiedAs('by the old key'))
  await expect.poll(gate.count).toBe(1)
  gate.release(new Refusal('token.key-unknown'))
  expect(whoIn(await asking)).toBe('token.key-unknown')
  expect(ask(NOW_MS, 'a credential', other)).not.toBeInstanceOf(Promise)
  state.answer = new Refusal('token.key-unknown')
  expect(whoIn(await ask())).toBe('token.key-unknown')
})

test('[FR-032] what failed by a key that left its set is verified again at once, in flight too', async () => {
  const { cache, state, who } = stage(new Refusal('token.signature'))
  expect(await who()).toBe('token.signature')
  const gate = held<Answer>()
  const asking = cache.lookUp(SCOPE, 'in flight', NOW_MS, gate.verify)
  cache.dropVerifier('v1')
  gate.release(new Refusal('token.signature'))
  await asking
  state.answer = verifiedAs('by the new key')
  expect(await who()).toBe('by the new key')
  expect(whoIn(await cache.lookUp(SCOPE, 'in flight', NOW_MS, async () => verifiedAs('u1')))).toBe('u1')
})

const remembered = {
  'token.signature': true,
  'token.malformed': true,
  'token.expired': true,
  'key.malformed': true,
  'token.not-yet-valid': false,
  'token.key-unknown': false,
  'token.inactive': false,
  'token.subject': false,
  'keys.unavailable': false,
  'introspection.unavailable': false,
  'credential.unavailable': false,
  'key.unknown': false,
  'key.ended': false,
  'key.owner': false,
} as const
for (const [reason, isRemembered] of Object.entries(remembered)) {
  test(`[FR-032] ${reason} is ${isRemembered ? 'remembered for ten seconds' : 'asked about each time'}`, async () => {
    const { ask, state } = stage(new Refusal(reason as keyof typeof remembered))
    await ask()
    expect(whoIn(await ask(NOW_MS + 9999))).toBe(reason)
    expect(state.runs).toBe(isRemembered ? 1 : 2)
    await ask(NOW_MS + 20_000)
    expect(state.runs).toBe(isRemembered ? 2 : 3)
    expect(state.answer).toBeInstanceOf(Refusal)
  })
}

test('[FR-032] a flood of 100 000 forged tokens pushes out no good entry, and what it leaves is bounded', async () => {
  const { cache, ask, state } = stage()
  await ask()
  const forged = Object.freeze(new Refusal('token.signature', { log: 'x'.repeat(5000) }))
  for (let at = 0; at < 100_000; at += 1) await cache.lookUp(SCOPE, `forged-${at}`, NOW_MS, async () => forged)
  expect(ask()).not.toBeInstanceOf(Promise)
  expect(state.runs).toBe(1)
  expect(cache.status()).toMatchObject({ entries: 1, misses: 100_001 })
  const again = cache.lookUp(SCOPE, 'forged-99999', NOW_MS, () => Promise.reject(new Error('verified again')))
  expect(again).toMatchObject({ reason: 'token.signature', log: null })
  expect(cache.lookUp(SCOPE, 'forged-0', NOW_MS, async () => forged)).toBeInstanceOf(Promise)
})
