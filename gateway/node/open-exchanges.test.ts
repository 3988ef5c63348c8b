/** What is open is cut when it may not go on, by a log that the test writes by hand and clocks that it turns. */

import { expect, test } from 'vitest'
import { type ForwardPlan, type Principal, type Proof, Refusal } from '../model.ts'
import type { Rechecked } from '../pipeline.ts'
import type { Snapshot } from '../snapshot.ts'
import { scriptedRevocations } from '../test/support/revocations.ts'
import { until } from '../test/support/until.ts'
import { type OpenExchange, openExchanges } from './open-exchanges.ts'

const MAX_STALENESS_MS = 5000
const NEW_POLICY = { version: '2' } as Snapshot
const ALLOWED_UNTIL_MS = 1_000_000

interface Opened extends OpenExchange {
  cutBy: Refusal | null
  flows: number
}

function setUp() {
  const log = scriptedRevocations()
  const clock = { nowMs: 0 }
  const faults: unknown[] = []
  const rechecked: string[] = []
  const state = {
    answer: (subject: string): Rechecked | Refusal => resting(subject, log.sequence),
    /** Set: rechecks wait until it is called. */
    held: null as (() => void)[] | null,
    /** In force. */
    policy: { version: '1' } as Snapshot,
  }
  const exchanges = openExchanges({
    revocations: log,
    async recheck(plan) {
      const subject = plan.principal?.subject ?? 'nobody'
      rechecked.push(subject)
      if (state.held !== null) await new Promise<void>((resolve) => state.held!.push(resolve))
      return state.answer(subject)
    },
    snapshot: () => state.policy,
    maxStalenessMs: MAX_STALENESS_MS,
    nowMs: () => clock.nowMs,
    monotonicMs: () => clock.nowMs,
    fault: (error) => faults.push(error),
  })
  const open = (subject: string, more: Partial<Principal> = {}, snapshot = state.policy, isNobody = false): Opened => {
    const { principal, proofs } = resting(subject, log.sequence, more)
    const plan = (isNobody ? { principal: null, proofs: [] } : { principal, proofs }) as unknown as ForwardPlan
    const exchange: Opened = {
      openSeat: -1,
      plan,
      snapshot,
      cutBy: null,
      flows: 0,
      cut(refusal) {
        this.cutBy = refusal
      },
      flow() {
        this.flows += 1
      },
      leave() {},
    }
    exchanges.add(exchange)
    return exchange
  }
  /** Time passes, a sweep at a time, with what it starts. */
  const pass = async (ms: number) => {
    for (const endsAtMs = clock.nowMs + ms; clock.nowMs < endsAtMs; ) {
      clock.nowMs += 250
      exchanges.sweep(clock.nowMs)
      await settled()
    }
  }
  return { log, clock, faults, rechecked, state, exchanges, open, pass }
}

function resting(subject: string, sequence: number, more: Partial<Principal> = {}): Rechecked {
  const principal = { subject, issuer: 'us', expiresAtMs: ALLOWED_UNTIL_MS, ...more } as Principal
  const proof: Proof = { sequence, names: [`subject:${subject}`, `session:${subject}-1`], issuedAtMs: 10 }
  return { principal, proofs: [proof] }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

const REFUSED = new Refusal('role.missing')
const UNKNOWN = new Refusal('session.unavailable')

for (const [age, ageMs] of [
  ['begun just now', 0],
  ['open through one sweep', 250],
  ['open for long', 2000],
] as const) {
  test(`[FR-036] ${age}: cut when it may not go on, and only that one`, async () => {
    const { log, open, pass, state, rechecked } = setUp()
    const ada = open('ada')
    const bob = open('bob')
    await pass(ageMs)
    state.answer = (subject) => (subject === 'ada' ? REFUSED : resting(subject, log.sequence))
    log.revoke('session:ada-1')
    await settled()
    expect(ada.cutBy).toMatchObject({ reason: 'principal.revoked', log: 'role.missing' })
    expect([bob.cutBy, rechecked]).toEqual([null, ['ada']])
  })

  test(`[FR-036] ${age}: an entry that ends it cuts in the same turn, without asking anybody`, async () => {
    const { log, open, pass, rechecked } = setUp()
    const ada = open('ada')
    const bob = open('bob')
    await pass(ageMs)
    log.revoke('subject:ada', 'end', 10)
    expect(ada.cutBy?.reason).toBe('principal.revoked')
    expect([bob.cutBy, rechecked]).toEqual([null, []])
  })
}

test('[FR-036] what is still allowed stays open, and rests on what was found then', async () => {
  const { log, open, pass, rechecked, state, exchanges } = setUp()
  const ada = open('ada')
  await pass(500)
  log.revoke('subject:ada')
  await settled()
  await pass(MAX_STALENESS_MS * 2)
  expect([ada.cutBy, rechecked]).toEqual([null, ['ada']])
  state.answer = () => REFUSED
  log.revoke('session:ada-1')
  await settled()
  expect(ada.cutBy?.reason).toBe('principal.revoked')
  expect([exchanges.size, exchanges.nameCount]).toEqual([0, 0])
})

test('[FR-036] what a recheck found is what counts from then on, and not what was before', async () => {
  const { log, open, pass, rechecked, state, exchanges } = setUp()
  const ada = open('ada')
  await pass(500)
  const now = resting('ada', 1)
  state.answer = () => ({ ...now, proofs: [{ sequence: 1, names: ['subject:ada', 'session:ada-2'], issuedAtMs: 20 }] })
  log.revoke('session:ada-1')
  await settled()
  expect([ada.cutBy, rechecked.length, exchanges.nameCount]).toEqual([null, 1, 2])
  log.revoke('session:ada-1', 'end', 10)
  log.revoke('subject:ada', 'end', 10)
  expect(ada.cutBy).toBeNull()
  log.revoke('session:ada-2', 'end', 10)
  expect(ada.cutBy?.reason).toBe('principal.revoked')
})

test('[FR-036] nobody can tell: asked again at each sweep, and cut when the bound has passed', async () => {
  const { log, open, pass, state, rechecked } = setUp()
  const ada = open('ada')
  const bob = open('bob')
  await pass(500)
  state.answer = () => UNKNOWN
  log.revoke('subject:ada')
  log.revoke('subject:bob')
  await pass(MAX_STALENESS_MS - 500)
  expect([ada.cutBy, bob.cutBy]).toEqual([null, null])
  expect(rechecked.length).toBeGreaterThan(10)
  state.answer = (subject) => (subject === 'bob' ? resting('bob', log.sequence) : UNKNOWN)
  await pass(1000)
  expect(ada.cutBy?.reason).toBe('revocation.stale')
  expect(bob.cutBy).toBeNull()
})

test('[FR-036] a recheck that never comes back is no way to stay open', async () => {
  const { log, open, pass, state } = setUp()
  const ada = open('ada')
  await pass(500)
  state.held = []
  log.revoke('subject:ada')
  await pass(MAX_STALENESS_MS + 500)
  expect(ada.cutBy?.reason).toBe('revocation.stale')
})

test('[FR-036] an answer begun before an entry does not count against it', async () => {
  const { log, open, pass, state, rechecked } = setUp()
  const ada = open('ada')
  await pass(500)
  state.held = []
  log.revoke('subject:ada')
  await settled()
  const before = resting('ada', log.sequence)
  state.answer = () => before
  log.revoke('session:ada-1')
  const [answer] = state.held
  state.held = null
  answer!()
  await Promise.resolve()
  state.answer = () => REFUSED
  await settled()
  expect(rechecked).toEqual(['ada', 'ada'])
  expect(ada.cutBy?.reason).toBe('principal.revoked')
})

test('[FR-036] a revocation of everybody asks for no more than 32 at once, and for each', async () => {
  const { log, open, pass, state, rechecked } = setUp()
  const all = Array.from({ length: 100 }, (_, at) => open(`u${at}`))
  await pass(500)
  state.held = []
  log.revoke('everything')
  await settled()
  expect(rechecked).toHaveLength(32)
  state.answer = (subject) => (subject === 'u7' ? resting(subject, log.sequence) : REFUSED)
  while (state.held.length > 0) {
    const waiting = state.held.splice(0)
    expect(waiting.length).toBeLessThanOrEqual(32)
    for (const answer of waiting) answer()
    await settled()
  }
  expect(rechecked).toHaveLength(100)
  expect(all.filter(({ cutBy }) => cutBy === null)).toHaveLength(1)
})

test('[FR-036] at the end of its credential it is asked again: extended lives on, expired is cut', async () => {
  const { log, open, pass, state, clock, rechecked } = setUp()
  const slid = open('slid', { expiresAtMs: 3000 })
  const expired = open('expired', { expiresAtMs: 3000 })
  state.answer = (subject) =>
    subject === 'slid' ? resting(subject, log.sequence, { expiresAtMs: 9000 }) : new Refusal('token.expired')
  await pass(2750)
  expect([clock.nowMs, rechecked]).toEqual([2750, []])
  await pass(250)
  expect(slid.cutBy).toBeNull()
  expect(expired.cutBy).toMatchObject({ reason: 'principal.revoked', log: 'token.expired' })
  await pass(5750)
  expect(rechecked).toHaveLength(2)
  state.answer = () => new Refusal('credential.missing')
  await pass(500)
  expect(slid.cutBy?.reason).toBe('principal.revoked')
})

test('[FR-035] a log out of reach cuts what rests on a credential, and what is public does not notice', async () => {
  const { log, open, pass } = setUp()
  const ada = open('ada')
  const nobody = open('nobody', {}, NEW_POLICY, true)
  await pass(500)
  log.state.isFresh = false
  await pass(250)
  expect([ada.cutBy, log.state.reads]).toEqual([null, 1])
  log.state.isFresh = false
  log.state.canCatchUp = false
  const young = open('bob')
  await pass(250)
  expect(ada.cutBy?.reason).toBe('revocation.stale')
  expect(young.cutBy?.reason).toBe('revocation.stale')
  expect(nobody.cutBy).toBeNull()
})

test('[FR-035] on a node that has just woken up nothing passes before the log was read, nor while there is a doubt', async () => {
  const { log, open, pass, state, exchanges } = setUp()
  const [ada, bob, eve] = [open('ada'), open('bob'), open('eve')]
  await pass(1000)
  expect([ada, bob, eve].map(exchanges.mayPass)).toEqual([true, true, true])
  state.held = []
  for (const exchange of [ada, bob, eve]) {
    log.state.isFresh = false
    expect(exchanges.mayPass(exchange)).toBe(false)
  }
  log.state.isFresh = true
  log.revoke('subject:ada', 'end', 10)
  log.revoke('subject:bob')
  await settled()
  // The log has been read: one is gone, one is being asked about, and one goes on without waiting for a sweep.
  expect([ada.cutBy?.reason, bob.cutBy, eve.cutBy]).toEqual(['principal.revoked', null, null])
  expect([ada.flows, bob.flows, eve.flows]).toEqual([0, 0, 1])
  expect([bob, eve].map(exchanges.mayPass)).toEqual([false, true])
  for (const resume of state.held) resume()
  await settled()
  expect([bob.flows, eve.flows, exchanges.mayPass(bob)]).toEqual([1, 1, true])
})

test('[FR-036] a decision that an entry or a stall overtook is not current', () => {
  const { log, exchanges } = setUp()
  const { principal, proofs } = resting('ada', log.sequence)
  const plan = { principal, proofs } as ForwardPlan
  const nobody = { principal: null, proofs: [] as readonly Proof[] } as ForwardPlan
  expect(exchanges.isCurrent(plan)).toBe(true)
  log.state.isFresh = false
  expect([exchanges.isCurrent(plan), exchanges.isCurrent(nobody)]).toEqual([false, true])
  log.state.isFresh = true
  log.revoke('session:ada-1')
  expect([exchanges.isCurrent(plan), exchanges.isCurrent(nobody)]).toEqual([false, true])
})

test('[FR-036] a thousand opened and closed leave nothing behind', async () => {
  const { open, pass, exchanges } = setUp()
  const all = Array.from({ length: 1000 }, (_, at) => open(`u${at}`))
  await pass(500)
  // Not all in one turn of the event loop.
  expect(exchanges.nameCount).toBeLessThan(1000)
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect([exchanges.size, exchanges.nameCount]).toEqual([1000, 2000])
  for (const exchange of all) exchanges.delete(exchange)
  expect([exchanges.size, exchanges.nameCount]).toEqual([0, 0])
})

test('[FR-036] one that fails to be cut keeps no other open', async () => {
  const { log, open, pass, faults } = setUp()
  const ada = open('ada')
  ada.cut = () => {
    throw new TypeError('a bug nobody foresaw')
  }
  const bob = open('bob')
  await pass(500)
  log.revoke('everything', 'end', 10)
  expect(bob.cutBy?.reason).toBe('principal.revoked')
  expect(faults).toHaveLength(1)
})

test('[FR-036] many who are revoked at once are cut some at a time, and nothing of theirs passes meanwhile', async () => {
  const { log, open, pass, exchanges } = setUp()
  const all = Array.from({ length: 1000 }, (_, at) => open(`u${at}`))
  await pass(250)
  log.revoke('everything', 'end', 10)
  const cut = () => all.filter(({ cutBy }) => cutBy !== null).length
  const passable = () => all.filter((each) => each.cutBy === null && exchanges.mayPass(each)).length
  const atOnce = cut()
  expect([atOnce > 0, atOnce < 500, passable(), exchanges.size]).toEqual([true, true, 0, 1000 - atOnce])
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect([cut(), exchanges.size, exchanges.nameCount]).toEqual([1000, 0, 0])
})

const LONG_LIVED_MS = 6000

test('[FR-046] what lives long is decided again by a new policy, and cut when that does not allow it; what is short is not', async () => {
  const { exchanges, open, pass, state, rechecked } = setUp()
  const ada = open('ada')
  const bob = open('bob')
  await pass(LONG_LIVED_MS)
  const young = open('carol')
  state.policy = NEW_POLICY
  state.answer = (subject) => (subject === 'bob' ? resting(subject, 0) : REFUSED)
  exchanges.redecide()
  await pass(2000)
  expect(ada.cutBy).toMatchObject({ reason: 'policy.changed', log: 'role.missing' })
  expect([bob.cutBy, young.cutBy, rechecked.length]).toEqual([null, null, 2])
  await pass(LONG_LIVED_MS)
  expect(young.cutBy).toMatchObject({ reason: 'policy.changed' })
  expect([bob.cutBy, rechecked.length]).toEqual([null, 3])
})

test('[FR-046] one whose decision a reload overtook is decided again too, though it was not open then', async () => {
  const { open, pass, state } = setUp()
  const before = state.policy
  state.policy = NEW_POLICY
  const late = open('ada', {}, before)
  state.answer = () => REFUSED
  await pass(LONG_LIVED_MS)
  expect(late.cutBy).toMatchObject({ reason: 'policy.changed' })
})

test('[FR-046] nobody’s exchange is decided again by a new policy, and goes on while the log is lost', async () => {
  const { exchanges, open, pass, state, log } = setUp()
  const nobody = open('nobody', {}, state.policy, true)
  await pass(LONG_LIVED_MS)
  log.state.isFresh = false
  log.state.canCatchUp = false
  await pass(LONG_LIVED_MS)
  expect([nobody.cutBy, exchanges.size, exchanges.nameCount]).toEqual([null, 1, 0])
  state.policy = NEW_POLICY
  state.answer = () => REFUSED
  exchanges.redecide()
  await pass(250)
  expect(nobody.cutBy).toMatchObject({ reason: 'policy.changed' })
})

test('[FR-046] what a new policy cannot decide is asked again, and cut when the bound has passed', async () => {
  const { exchanges, open, pass, state, rechecked } = setUp()
  const ada = open('ada')
  await pass(LONG_LIVED_MS)
  state.policy = NEW_POLICY
  state.answer = () => UNKNOWN
  exchanges.redecide()
  await pass(1000)
  expect([ada.cutBy, exchanges.mayPass(ada)]).toEqual([null, false])
  expect(rechecked.length).toBeGreaterThan(1)
  await pass(MAX_STALENESS_MS + 500)
  expect(ada.cutBy?.reason).toBe('revocation.stale')
})

test('[FR-046] ten thousand are decided again in turns, and none is forgotten', async () => {
  const { exchanges, open, pass, state, rechecked } = setUp()
  for (let at = 0; at < 10_000; at++) open(`u${at}`)
  while (exchanges.nameCount < 20_000) {
    await pass(250)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await pass(LONG_LIVED_MS)
  state.policy = NEW_POLICY
  exchanges.redecide()
  await pass(250)
  expect(rechecked.length).toBeLessThanOrEqual(100)
  await until(() => rechecked.length === 10_000, 'all were asked about')
})
