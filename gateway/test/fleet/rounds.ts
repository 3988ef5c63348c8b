/** Five hundred revocations of every kind on a fleet under load, and how late each was honoured: what the test asserts and the bench prints. */

import { startUpstream } from '../../../upstream-mock/server.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { startPostgres, startRedis } from '../support/servers.ts'
import { keepBusy, measureRevocation, percentile } from './measure.ts'
import { createIssuer, fleetPolicy } from './policy.ts'
import { createStage, type Stage, SUBJECTS } from './subjects.ts'

/** Sign-ups hash a password each, so kinds that need one take a smaller share of the five hundred. */
export const TIMES: Readonly<Record<string, number>> = {
  'session, by sign-out': 20,
  'own token, by sign-out': 15,
  'user, by the admin API': 15,
  'API key': 150,
  'foreign token, by jti': 150,
  'foreign subject': 150,
}

const STEADY_CREDENTIALS = 20
const STEADY_PER_SECOND = 20

export interface Rounds {
  /** From the acknowledgment to the first refusal, for each node and revocation. */
  readonly delayMs: readonly number[]
  /** From the acknowledgment to the last request that was served. */
  readonly servedMs: readonly number[]
  /** One line for each kind, and one for all. */
  readonly summary: readonly string[]
  /** What was answered to credentials that were good all the while, other than 200. */
  readonly refused: readonly string[]
}

export interface RevocationFleet {
  readonly fleet: Fleet
  readonly stage: Stage
  close(): Promise<void>
}

/** Four processes, one Postgres, one Redis, an upstream. */
export async function startRevocationFleet(count: number): Promise<RevocationFleet> {
  const closing: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const end of closing.splice(0).reverse()) await end()
  }
  try {
    const [postgres, redis, upstream, issuer] = await Promise.all([
      startPostgres(),
      startRedis(),
      startUpstream(),
      createIssuer(),
    ])
    for (const server of [postgres, redis, upstream]) closing.push(() => server.close())
    const stores = { databaseUrl: postgres.url, redisUrl: redis.url }
    const fleet = await startFleet({ policy: fleetPolicy(issuer), upstreamUrl: upstream.url, ...stores, count })
    closing.push(() => fleet.close())
    return { fleet, stage: await createStage(fleet, issuer), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** `pauseMs`: between the requests that watch one revocation; how late it was is known no better than that. */
export async function runRounds({ fleet, stage }: RevocationFleet, pauseMs = 0): Promise<Rounds> {
  const steady = await Promise.all(
    Array.from({ length: STEADY_CREDENTIALS }, (_, at) =>
      stage.issuer.sign({ sub: `steady-${at}`, jti: `steady-${at}` }),
    ),
  )
  const busy = keepBusy(
    fleet,
    steady.map((token) => ({ authorization: `Bearer ${token}` })),
    STEADY_PER_SECOND,
  )
  const delayMs: number[] = []
  const servedMs: number[] = []
  const summary: string[] = []
  for (const [kind, times] of Object.entries(TIMES)) {
    const ofKind: number[] = []
    for (let at = 0; at < times; at += 1) {
      const subject = await SUBJECTS[kind]!(stage, `${kind.replaceAll(/[^a-z]/gi, '')}-${at}`)
      const measured = await measureRevocation(fleet, subject, pauseMs)
      ofKind.push(...measured.delayMs)
      servedMs.push(...measured.servedMs)
    }
    summary.push(`${kind}: ${summaryOf(ofKind)}`)
    delayMs.push(...ofKind)
  }
  const late = servedMs.filter((ms) => ms > 0)
  summary.push(`all: ${summaryOf(delayMs)}`)
  summary.push(
    `served to a request sent after the acknowledgment: ${late.length} of ${servedMs.length}, the last ${percentile(late, 1).toFixed(1)} ms after it`,
  )
  return { delayMs, servedMs, summary, refused: await busy.stop() }
}

function summaryOf(ms: readonly number[]): string {
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => percentile(ms, share).toFixed(1))
  return `${ms.length} delays, p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms`
}
