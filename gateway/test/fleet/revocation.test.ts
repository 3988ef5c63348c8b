/** Four gateway processes on one Postgres and one Redis, under load: what was revoked on one is refused by all, at once. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { type PrivateServer, startPostgres, startRedis } from '../support/servers.ts'
import { keepBusy, measureRevocation, percentile } from './measure.ts'
import { createIssuer, fleetPolicy, type TestIssuer } from './policy.ts'
import { createStage, type Stage, SUBJECTS } from './subjects.ts'

const NODES = 4
/** Sign-ups hash a password each, so kinds that need one take a smaller share of the five hundred. */
const TIMES: Readonly<Record<string, number>> = {
  'session, by sign-out': 40,
  'own token, by sign-out': 30,
  'user, by the admin API': 30,
  'API key': 130,
  'foreign token, by jti': 140,
  'foreign subject': 130,
}
/** The bound that is promised while the carrier works is milliseconds; this one only tells a broken carrier from a busy machine. */
const BOUND_MS = 2_000

let postgres: PrivateServer
let redis: PrivateServer
let upstream: Upstream
let issuer: TestIssuer
let fleet: Fleet
let stage: Stage

beforeAll(async () => {
  ;[postgres, redis, upstream, issuer] = await Promise.all([startPostgres(), startRedis(), startUpstream(), createIssuer()])
  fleet = await startFleet({
    policy: fleetPolicy(issuer),
    upstreamUrl: upstream.url,
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    count: NODES,
  })
  stage = await createStage(fleet, issuer)
}, 120_000)

afterAll(async () => {
  await fleet?.close()
  for (const server of [upstream, postgres, redis]) await server?.close()
}, 60_000)

test('[FR-035] 500 revocations of every kind, four nodes under load: none is honoured late, and valid credentials are served throughout', async () => {
  const steady = await Promise.all(
    Array.from({ length: 20 }, (_, at) => issuer.sign({ sub: `steady-${at}`, jti: `steady-${at}` })),
  )
  const busy = keepBusy(
    fleet,
    steady.map((token) => ({ authorization: `Bearer ${token}` })),
    20,
  )
  const delaysMs: number[] = []
  const rows: string[] = []
  for (const [kind, times] of Object.entries(TIMES)) {
    const ofKind: number[] = []
    for (let at = 0; at < times; at += 1) {
      const subject = await SUBJECTS[kind]!(stage, `${kind.replaceAll(/[^a-z]/gi, '')}-${at}`)
      ofKind.push(...(await measureRevocation(fleet, subject)).delayMs)
    }
    rows.push(`${kind}: ${summary(ofKind)}`)
    delaysMs.push(...ofKind)
  }
  const refused = await busy.stop()
  console.log([...rows, `all: ${summary(delaysMs)}`].join('\n'))
  expect(refused).toEqual([])
  expect(delaysMs).toHaveLength(500 * NODES)
  expect(Math.max(...delaysMs)).toBeLessThan(BOUND_MS)
}, 240_000)

function summary(ms: readonly number[]): string {
  const [p50, p99, max] = [percentile(ms, 0.5), percentile(ms, 0.99), percentile(ms, 1)].map((each) => each.toFixed(1))
  return `${ms.length} delays, p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms`
}
