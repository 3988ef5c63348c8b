/** Limits of routes: whose use is counted, what is charged when, and what the client is told, read as the RFC reads it. */

import { expect, test } from 'vitest'
import type { RequestHead } from '../model.ts'
import { type Authentication, type HeaderList, Refusal } from '../model.ts'
import type { Counters, Demand } from '../ports.ts'
import type { Limit, LimitScope, Route } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { principalOf } from '../test/support/principal.ts'
import { rateRule } from './rate.ts'
import { type Charged, chargeAddress, chargePrincipal } from './route.ts'

const NOW_MS = 1_795_000_000_000
const snapshot = { onCountersOutage: 'share' } as Snapshot
const head = { clientAddress: '192.0.2.7', receivedAtMs: NOW_MS } as RequestHead

function rate(count: number, per: LimitScope, scope = '/a'): Limit {
  const text = `${count}/min per ${per}`
  return { kind: 'rate', id: `${scope} ${text}`, per, rule: rateRule(count, 60_000), text }
}

function connections(max: number, per: LimitScope): Limit {
  const text = `${max} connections per ${per}`
  return { kind: 'connections', id: `/a ${text}`, per, max, text }
}

const route = (...limits: Limit[]) => ({ id: '/a', limits }) as unknown as Route
const as = (more: Partial<Authentication>): Authentication => {
  return { principal: null, proofs: [], rate: null, setCookies: [], ...more }
}
const ada = as({ principal: principalOf('ada') })

async function through(
  counters: Counters,
  to: Route,
  who: Authentication,
  from: RequestHead = head,
): Promise<Charged | Refusal> {
  const ofAddress = await chargeAddress(snapshot, counters, to, from)
  return ofAddress instanceof Refusal ? ofAddress : chargePrincipal(snapshot, counters, to, who, from, ofAddress)
}

/** RFC 9651 §4.2, as far as these fields use it: a List of Strings with parameters that are Integers or Strings. */
function parseList(text: string): { name: string; [parameter: string]: string | number }[] {
  let rest = text
  const take = (pattern: RegExp): string => {
    const found = pattern.exec(rest)
    if (found === null) throw new Error(`not a structured field: ${rest}`)
    rest = rest.slice(found[0].length)
    return found[0]
  }
  const string = () => take(/^"(?:[ !#-[\]-~]|\\["\\])*"/).slice(1, -1)
  const members: { name: string; [parameter: string]: string | number }[] = []
  while (true) {
    const member: { name: string; [parameter: string]: string | number } = { name: string() }
    while (rest.startsWith(';')) {
      const key = take(/^;[a-z*][a-z0-9_.*-]*=/).slice(1, -1)
      member[key] = rest.startsWith('"') ? string() : Number(take(/^-?\d{1,15}/))
    }
    members.push(member)
    if (rest === '') return members
    take(/^, /)
  }
}

const told = (headers: HeaderList) => {
  expect([headers[0], headers[2], headers.length]).toEqual(['RateLimit-Policy', 'RateLimit', 4])
  return { policy: parseList(headers[1]!), state: parseList(headers[3]!) }
}

test('[FR-042] a route without limits asks nobody, and yields the same object every time', async () => {
  const nobody = new Proxy({} as Counters, {
    get() {
      throw new Error('asked')
    },
  })
  const first = chargeAddress(snapshot, nobody, route(), head)
  expect(first).not.toBeInstanceOf(Promise)
  expect(chargePrincipal(snapshot, nobody, route(), ada, head, first as Charged)).toBe(first)
})

test('[FR-042] in memory nothing is waited for', () => {
  const to = route(rate(9, 'ip'), rate(9, 'user'), connections(9, 'route'))
  const counters = memoryCounters(100)
  const ofAddress = chargeAddress(snapshot, counters, to, head)
  expect(ofAddress).not.toBeInstanceOf(Promise)
  expect(chargePrincipal(snapshot, counters, to, ada, head, ofAddress as Charged)).not.toBeInstanceOf(Promise)
})

test('[FR-042] `per ip` is counted before anybody is known, and the rest once they may come in', async () => {
  const asked: (readonly Demand[])[] = []
  const memory = memoryCounters(100)
  const counters: Counters = {
    ...memory,
    charge(demands, nowMs, onOutage) {
      asked.push(demands)
      return memory.charge(demands, nowMs, onOutage)
    },
  }
  const to = route(rate(9, 'ip', 'defaults'), rate(8, 'user'), connections(7, 'ip'), rate(6, 'route'))
  const ofAddress = (await chargeAddress(snapshot, counters, to, head)) as Charged
  expect(asked.flat().map(({ key }) => key)).toEqual([
    'defaults 9/min per ip 192.0.2.7',
    '/a 7 connections per ip 192.0.2.7',
  ])
  expect(ofAddress.leases).toHaveLength(1)
  const all = (await chargePrincipal(snapshot, counters, to, ada, head, ofAddress)) as Charged
  // One question for each of the two, however many limits.
  expect(asked).toHaveLength(2)
  expect(asked[1]!.map(({ key }) => key)).toEqual(['/a 8/min per user ada', '/a 6/min per route all'])
  expect(all.leases).toBe(ofAddress.leases)
})

const callers: readonly (readonly [LimitScope, string, Authentication, string])[] = [
  [
    'user',
    'a key counts as its owner',
    as({ principal: principalOf('ada', { credential: 'key', keyId: 'k1' }) }),
    'ada',
  ],
  ['user', 'a session counts as its user', ada, 'per user ada'],
  [
    'user',
    'the same name of another issuer is somebody else',
    as({ principal: principalOf('ci:ada', { issuer: 'x', source: 'ci' }) }),
    'per user ci:ada',
  ],
  [
    'user',
    'a user of ours is one, whether they or an issuer with `subjects: local` say so',
    as({ principal: principalOf('ada', { issuer: 'x', source: 'ci' }) }),
    'per user ada',
  ],
  ['user', 'nobody counts by address', as({}), '192.0.2.7'],
  ['key', 'a key counts by itself', as({ principal: principalOf('ada', { credential: 'key', keyId: 'k1' }) }), 'k1'],
  ['key', 'a caller without a key is not counted', ada, ''],
  ['key', 'nobody is not counted', as({}), ''],
]
for (const [per, what, who, counted] of callers) {
  test(`[FR-042] per ${per}: ${what}`, async () => {
    const keys: string[] = []
    const memory = memoryCounters(10)
    const counters: Counters = {
      ...memory,
      charge(demands, nowMs, onOutage) {
        keys.push(...demands.map(({ key }) => key))
        return memory.charge(demands, nowMs, onOutage)
      },
    }
    await through(counters, route(rate(1, per)), who)
    expect(keys).toHaveLength(counted === '' ? 0 : 1)
    expect(keys.join()).toContain(counted)
  })
}

test('[FR-042] nobody in particular is limited `per user` by network, and does not use up what somebody has', async () => {
  const counters = memoryCounters(100)
  const to = route(rate(1, 'user'))
  const from = (clientAddress: string) => ({ ...head, clientAddress })
  expect(await through(counters, to, as({}), from('2001:db8::1'))).not.toBeInstanceOf(Refusal)
  expect(await through(counters, to, as({}), from('2001:db8::2'))).toBeInstanceOf(Refusal)
  expect(await through(counters, to, as({}), from('2001:db8:0:1::1'))).not.toBeInstanceOf(Refusal)
  expect(await through(counters, to, ada, from('2001:db8::1'))).not.toBeInstanceOf(Refusal)
})

test('[FR-042] a limit of `defaults` is one count over all routes that have it', async () => {
  const counters = memoryCounters(100)
  const shared = rate(2, 'user', 'defaults')
  const results = []
  for (const to of [route(shared), route(shared, rate(9, 'user')), route(shared)]) {
    results.push((await through(counters, to, ada)) instanceof Refusal)
  }
  expect(results).toEqual([false, false, true])
})

test('[FR-042] what is left is told on allowed answers: every limit, on one line each, in the words of the policy', async () => {
  const counters = memoryCounters(100)
  const to = route(rate(300, 'ip', 'defaults'), rate(20, 'user'), connections(5, 'user'))
  await through(counters, to, ada)
  const second = (await through(counters, to, ada)) as Charged
  expect(told(second.headers)).toEqual({
    policy: [
      { name: '300/min per ip', q: 300, w: 60 },
      { name: '20/min per user', q: 20, w: 60 },
      { name: '5 connections per user', q: 5, qu: 'concurrent-requests' },
    ],
    state: [
      { name: '300/min per ip', r: 298, t: 1 },
      { name: '20/min per user', r: 18, t: 6 },
      { name: '5 connections per user', r: 3 },
    ],
  })
})

test('[FR-042] a refusal says which limit, when to come back, and what is left of the others', async () => {
  const counters = memoryCounters(100)
  const to = route(rate(300, 'ip', 'defaults'), rate(2, 'user'), rate(50, 'route'))
  for (let at = 0; at < 2; at += 1) await through(counters, to, ada)
  const refused = (await through(counters, to, ada)) as Refusal
  expect(refused).toMatchObject({ reason: 'route.limit', retryAfterMs: 30_000, log: '2/min per user' })
  expect(told(refused.headers).state).toEqual([
    { name: '300/min per ip', r: 297, t: 1 },
    { name: '2/min per user', r: 0, t: 30 },
    { name: '50/min per route', r: 48, t: 3 },
  ])
})

test('[FR-042] too many connections: come back in a second; a rate that refuses too says for how long', async () => {
  const counters = memoryCounters(100)
  const to = route(connections(1, 'user'), rate(1, 'route'))
  const first = (await through(counters, to, ada)) as Charged
  expect(await through(counters, to, ada)).toMatchObject({ reason: 'route.limit', retryAfterMs: 60_000 })
  const later = { ...head, receivedAtMs: NOW_MS + 60_000 }
  expect(await through(counters, to, ada, later)).toMatchObject({ reason: 'route.connections', retryAfterMs: 1000 })
  first.leases[0]!.release()
  expect(await through(counters, to, ada, later)).not.toBeInstanceOf(Refusal)
})

test('[FR-042] a credential’s own limit is charged with the others: all or none', async () => {
  const counters = memoryCounters(100)
  const key = as({
    principal: principalOf('ada', { credential: 'key', keyId: 'k1' }),
    rate: { burst: 1, intervalMs: 60_000 },
  })
  const to = route(rate(9, 'user'))
  expect(told(((await through(counters, to, key)) as Charged).headers).policy[1]).toEqual({ name: 'key', q: 1, w: 60 })
  for (let at = 0; at < 20; at += 1) {
    expect(await through(counters, to, key)).toMatchObject({ reason: 'key.limit', retryAfterMs: 60_000 })
  }
  const state = told(((await through(counters, to, ada)) as Charged).headers).state
  expect(state).toEqual([{ name: '9/min per user', r: 7, t: 14 }])
})

test('[FR-042] counters that cannot tell refuse, before and after', async () => {
  const counters = { ...memoryCounters(9), charge: () => Promise.reject(new Error('gone')) }
  for (const per of ['ip', 'user'] as const) {
    const refused = await through(counters, route(rate(9, per)), ada)
    expect(refused).toMatchObject({ reason: 'counters.unavailable', log: 'gone' })
  }
})
