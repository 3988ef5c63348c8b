/** Places in limits on connections are given back by whoever drops a decision: a bug, a second decision, a failure. */

import { expect, test } from 'vitest'
import { type ForwardPlan, type Outcome, type RawHead, Refusal } from '../model.ts'
import { decide, recheck } from '../pipeline.ts'
import type { Counters, Ports } from '../ports.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { principalOf } from '../test/support/principal.ts'
import { loadPolicy } from './config-file.ts'
import { decideAgain, type Exchange, failedExchange, openExchange, recordExchange } from './exchange.ts'
import type { Gateway } from './gateway.ts'

const TEXT = `
version: 1
origin: http://books.test
upstreams: { up: http://127.0.0.1:9 }
admission: { perAddress: off }
defaults: { limit: 1 connection per ip }
routes: { /a: { to: up, access: login, limit: 1 connection per user } }
`
const { snapshot } = loadPolicy({ text: TEXT, file: 'test.yaml' }, {}, { port: null, upstreamUrl: null })

const raw = (requestId: string): RawHead => ({
  requestId,
  receivedAtMs: 1_795_000_000_000,
  method: 'GET',
  target: '/a',
  httpVersion: '1.1',
  headers: ['Host', 'books.test', 'Authorization', 'Bearer ada'],
  peerAddress: '192.0.2.7',
  isUpgrade: false,
})

function ports(counters: Counters, more: Partial<Ports> = {}): Ports {
  const found = { principal: principalOf('ada'), proofs: [], rate: null, setCookies: [] }
  return {
    counters,
    sessions: null,
    tokens: { verifyToken: () => found },
    keys: null,
    revocations: null,
    servers: null,
    assertions: { assertionFor: () => 'signed' },
    sealer: null,
    journal: { record() {}, fault() {} },
    ...more,
  }
}

async function forwarded(counters: Counters): Promise<ForwardPlan> {
  const outcome = await decide(snapshot, ports(counters), raw('1'))
  if (outcome.kind !== 'forward') throw new Error(`refused: ${JSON.stringify(outcome)}`)
  return outcome
}

async function isFree(counters: Counters): Promise<boolean> {
  const outcome: Outcome = await decide(snapshot, ports(counters), raw('2'))
  if (outcome.kind === 'forward') for (const lease of outcome.leases) lease.release()
  return outcome.kind === 'forward'
}

function exchangeOf(counters: Counters, outcome: Outcome, more: Partial<Ports> = {}): Exchange {
  const exchange = openExchange({ snapshot, ports: ports(counters, more) } as Gateway, '1', 0)
  exchange.outcome = outcome
  return exchange
}

test('[FR-042] an allowed exchange holds its places, those by address and those by user, until it is recorded', async () => {
  const counters = memoryCounters(9)
  const plan = await forwarded(counters)
  expect(plan.leases).toHaveLength(2)
  expect(await isFree(counters)).toBe(false)
  recordExchange(exchangeOf(counters, plan), 200, false)
  expect(await isFree(counters)).toBe(true)
})

test('[FR-042] a bug while the head for the upstream is written keeps no place', async () => {
  const counters = memoryCounters(9)
  const bug = () => {
    throw new TypeError('a bug nobody foresaw')
  }
  await expect(decide(snapshot, ports(counters, { assertions: { assertionFor: bug } }), raw('1'))).rejects.toThrow(
    'bug',
  )
  expect(await isFree(counters)).toBe(true)
})

test('[FR-042] a bug while the caller is looked for keeps no place', async () => {
  const counters = memoryCounters(9)
  const verifyToken = () => Promise.reject(new TypeError('a bug nobody foresaw'))
  await expect(decide(snapshot, ports(counters, { tokens: { verifyToken } }), raw('1'))).rejects.toThrow('bug')
  expect(await isFree(counters)).toBe(true)
})

test('[FR-042] a decision that is made again keeps its places, and is not charged a second time', async () => {
  const counters = memoryCounters(9)
  const plan = await forwarded(counters)
  const charged = () => {
    throw new Error('charged')
  }
  const exchange = exchangeOf({ consume: charged, consumeHere: charged, charge: charged }, plan)
  const again = await decideAgain(exchange, raw('1'), plan, 1)
  expect(again).toMatchObject({ kind: 'forward', answerHeaders: plan.answerHeaders })
  expect(await isFree(counters)).toBe(false)
  exchange.outcome = again
  recordExchange(exchange, 200, false)
  expect(await isFree(counters)).toBe(true)
})

test('[FR-042] a decision that comes out otherwise the second time keeps no place', async () => {
  const counters = memoryCounters(9)
  const plan = await forwarded(counters)
  const verifyToken = () => new Refusal('token.revoked')
  const again = await decideAgain(exchangeOf(counters, plan, { tokens: { verifyToken } }), raw('1'), plan, 1)
  expect(again).toMatchObject({ kind: 'refuse', refusal: { reason: 'token.revoked' } })
  expect(await isFree(counters)).toBe(true)
})

test('[FR-042] a decision that cannot be made again, and an exchange that failed, keep no place', async () => {
  const counters = memoryCounters(9)
  const revocations = { catchUp: async () => false } as unknown as NonNullable<Ports['revocations']>
  const plan = await forwarded(counters)
  const outcome = await decideAgain(exchangeOf(counters, plan, { revocations }), raw('1'), plan, 1)
  expect(outcome).toMatchObject({ kind: 'refuse', refusal: { reason: 'revocation.stale' } })
  expect(await isFree(counters)).toBe(true)
  failedExchange(exchangeOf(counters, await forwarded(counters)), new Refusal('upstream.refused'))
  expect(await isFree(counters)).toBe(true)
})

test('[FR-042] an exchange that is still open is not charged again when it is decided again', async () => {
  const plan = await forwarded(memoryCounters(9))
  const charged = () => {
    throw new Error('charged')
  }
  const counters: Counters = { consume: charged, consumeHere: charged, charge: charged }
  expect(await recheck(snapshot, ports(counters), plan, plan.head.receivedAtMs)).toMatchObject({
    principal: { subject: 'ada' },
  })
})
