/** What this node counts, for Prometheus. An exchange costs an addition or two: names and labels are put together when somebody asks. */

import { type Aggregator, AggregatorRegistry, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ProposalCounts } from '../endpoints/admin/deps.ts'
import type { AccessRecord } from '../model.ts'
import type { Config } from './config-file.ts'
import type { Pressure } from './pressure/pressure.ts'
import type { Peers } from './processes/peers.ts'
import { measureUpstreams } from './upstream/upstream-metrics.ts'
import type { UpstreamReport } from './upstream/upstreams.ts'

export interface Metrics {
  count(record: AccessRecord): void
  /** Counts of proposals begin anew where the route's access or proposal is another now. */
  policyChanged(before: Config, after: Config): void
  /** By route, for each that has a proposal and was asked for; of all processes of the node. */
  proposals(): Promise<Readonly<Record<string, ProposalCounts>>>
  /** The text format, and what to call it; of all processes of the node. */
  scrape(): Promise<{ readonly contentType: string; readonly text: string }>
}

/** What is read when somebody asks. */
export interface Readings {
  readonly policy: () => { readonly version: string; readonly inForceSinceMs: number }
  readonly reloads: () => { readonly done: number; readonly refused: number; readonly isLastRefused: boolean }
  /** When the first certificate that clients are shown ends; null where none is. */
  readonly certificateEndsAtMs: () => number | null
  readonly openExchanges: () => number
  readonly pressure: Pressure
  readonly log: () => { readonly sequence: number; readonly ageMs: number; readonly isFresh: boolean }
  readonly limits: () => { readonly isShared: boolean }
  readonly decisions: () => number
  readonly upstreams: () => readonly UpstreamReport[]
  readonly peers: Peers | null
}

const DURATIONS_MAX = 256
/** Of the time until an exchange is over; event streams and sockets fall into the last. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60]

type Proposed = NonNullable<AccessRecord['proposed']>
type Counts = Record<Proposed, number>

/** What became of the requests of a route. */
interface Answers {
  /** By class of status, without those that did not occur. */
  readonly ordinary: number[]
  /** By class of status and family of the reason. */
  readonly failed: Map<string, number>
}

export function openMetrics(readings: Readings): Metrics {
  const registry = new Registry()
  const registers = [registry]
  /** By route of the policy, empty for none. */
  const requests = new Map<string, Answers>()
  const begun = (route: string): Answers => {
    const answers: Answers = { ordinary: [], failed: new Map() }
    requests.set(route, answers)
    return answers
  }
  const proposals = new Map<string, Counts>()

  /** Of requests that the histogram has not seen yet: many at once cost a fraction of what each costs by itself. */
  const durations: number[] = []
  const observeDurations = () => {
    for (const ms of durations) duration.observe(ms / 1000)
    durations.length = 0
  }
  const duration = new Histogram({
    name: 'postern_request_duration_seconds',
    help: 'From the first byte of a request until its exchange was over, streams and sockets included.',
    buckets: BUCKETS_S,
    registers,
    collect: () => observeDurations(),
  })
  new Counter({
    name: 'postern_requests_total',
    help: 'Finished exchanges by route, class of status and family of the reason, `none` for an ordinary answer.',
    labelNames: ['route', 'status', 'reason'],
    registers,
    collect() {
      this.reset()
      for (const [route, { ordinary, failed }] of requests) {
        ordinary.forEach((count, digit) => {
          this.inc({ route, status: `${digit}xx`, reason: 'none' }, count)
        })
        for (const [key, count] of failed) {
          const [status = '', reason = ''] = key.split(' ')
          this.inc({ route, status, reason }, count)
        }
      }
    },
  })
  new Counter({
    name: 'postern_proposals_total',
    help: 'Requests of routes with `proposed`, by what it would have done: same, would-allow, would-refuse, unknown.',
    labelNames: ['route', 'verdict'],
    registers,
    collect() {
      this.reset()
      for (const [route, counts] of proposals) {
        for (const [verdict, count] of Object.entries(counts)) this.inc({ route, verdict }, count)
      }
    },
  })
  new Counter({
    name: 'postern_policy_reloads_total',
    help: 'Reloads of the policy: done, or refused with the old policy still in force.',
    labelNames: ['outcome'],
    registers,
    aggregator: 'max',
    collect() {
      this.reset()
      const { done, refused } = readings.reloads()
      this.inc({ outcome: 'done' }, done)
      this.inc({ outcome: 'refused' }, refused)
    },
  })
  new Gauge({
    name: 'postern_policy_info',
    help: 'One, with the SHA-256 of the policy in force: nodes that show two have drifted apart.',
    labelNames: ['sha256'],
    registers,
    aggregator: 'max',
    collect() {
      this.reset()
      this.set({ sha256: readings.policy().version }, 1)
    },
  })
  /** Of several processes of a node the sum is shown, or the one that is worst off. */
  const gauge = (name: string, help: string, read: () => number, aggregator: Aggregator = 'sum') =>
    new Gauge({
      name,
      help,
      registers,
      aggregator,
      collect() {
        this.set(read())
      },
    })
  const worst = (name: string, help: string, aggregator: 'min' | 'max', read: () => number) => {
    gauge(name, help, read, aggregator)
  }
  worst(
    'postern_policy_in_force_since_seconds',
    'When the policy in force came into force, as Unix time.',
    'max',
    () => {
      return readings.policy().inForceSinceMs / 1000
    },
  )
  worst('postern_policy_reload_refused', 'One while the file holds a policy that was refused.', 'max', () => {
    return Number(readings.reloads().isLastRefused)
  })
  new Gauge({
    name: 'postern_tls_certificate_ends_seconds',
    help: 'When the first of the certificates that clients are shown ends, as Unix time. None where a proxy ends TLS.',
    registers,
    aggregator: 'min',
    collect() {
      const endsAtMs = readings.certificateEndsAtMs()
      if (endsAtMs === null) this.remove()
      else this.set(endsAtMs / 1000)
    },
  })
  gauge('postern_open_exchanges', 'Exchanges with upstreams under way, streams and sockets included.', () =>
    readings.openExchanges(),
  )
  const { pressure } = readings
  gauge('postern_connections', 'Connections of clients that are open.', () => pressure.connections.open)
  new Counter({
    name: 'postern_connections_refused_total',
    help: 'Connections closed as they came: the node or their address had as many as it may.',
    registers,
    collect() {
      this.reset()
      this.inc(pressure.connections.refused)
    },
  })
  gauge('postern_requests_in_flight', 'Requests under way, streams and sockets included.', () => {
    return pressure.inFlightCount
  })
  worst('postern_event_loop_lag_seconds', 'How late the timers of a process are.', 'max', () => {
    return (pressure.lag?.lagMs ?? 0) / 1000
  })
  worst(
    'postern_shed_share',
    'Of new requests, turned away by a process that falls behind: from 0 to 1.',
    'max',
    () => {
      return pressure.lag?.shedShare ?? 0
    },
  )
  worst('postern_revocation_sequence', 'Number of the last entry of the revocation log known here.', 'min', () => {
    return readings.log().sequence
  })
  worst(
    'postern_revocation_log_age_seconds',
    'Since the last complete read of the revocation log began.',
    'max',
    () => {
      return readings.log().ageMs / 1000
    },
  )
  worst('postern_revocation_log_fresh', 'Zero while nothing that needs a credential is let in.', 'min', () => {
    return Number(readings.log().isFresh)
  })
  worst('postern_limits_shared', 'One while limits are counted together with the other nodes.', 'min', () => {
    return Number(readings.limits().isShared)
  })
  gauge('postern_processes', 'Processes of the node that answered.', () => 1)
  gauge('postern_recorded_decisions', 'Refusals that this node can still explain by request id.', () =>
    readings.decisions(),
  )

  const proposalsHere = () =>
    Object.fromEntries(
      [...proposals].map(([route, counts]) => [
        route,
        {
          same: counts.same,
          wouldAllow: counts['would-allow'],
          wouldRefuse: counts['would-refuse'],
          unknown: counts.unknown,
        },
      ]),
    )
  const { peers } = readings
  peers?.answer('metrics', () => registry.getMetricsAsJSON())
  peers?.answer('proposals', proposalsHere)

  measureUpstreams(registry, readings.upstreams)

  return {
    count(record) {
      const { route, status, reason, policy, proposed, durationMs } = record
      const { ordinary, failed } = requests.get(route ?? '') ?? begun(route ?? '')
      const digit = Math.floor(status / 100)
      if (reason === null) ordinary[digit] = (ordinary[digit] ?? 0) + 1
      else {
        const key = `${digit}xx ${familyOf(reason)}`
        failed.set(key, (failed.get(key) ?? 0) + 1)
      }
      if (durations.push(durationMs) === DURATIONS_MAX) observeDurations()
      if (proposed === null || route === null) return
      // What began before a reload was asked of another proposal.
      if (!readings.policy().version.startsWith(policy)) return
      let counts = proposals.get(route)
      if (counts === undefined) {
        counts = { same: 0, 'would-allow': 0, 'would-refuse': 0, unknown: 0 }
        proposals.set(route, counts)
      }
      counts[proposed]++
    },
    policyChanged(before, after) {
      for (const route of requests.keys()) {
        if (route !== '' && after.routes[route] === undefined) requests.delete(route)
      }
      for (const route of proposals.keys()) {
        if (trialOf(before, route) !== trialOf(after, route)) proposals.delete(route)
      }
    },
    async proposals() {
      const others = (await peers?.ask('proposals', ''))?.answers ?? []
      return sumOf([proposalsHere(), ...(others as ReturnType<typeof proposalsHere>[])])
    },
    async scrape() {
      const { contentType } = registry
      if (peers === null) return { contentType, text: await registry.metrics() }
      const { answers } = await peers.ask('metrics', '')
      const merged = AggregatorRegistry.aggregate([await registry.getMetricsAsJSON(), ...(answers as object[])])
      return { contentType, text: await merged.metrics() }
    },
  }
}

function sumOf(all: readonly Readonly<Record<string, ProposalCounts>>[]): Readonly<Record<string, ProposalCounts>> {
  const sums: Record<string, ProposalCounts> = {}
  for (const [route, counts] of all.flatMap((each) => Object.entries(each))) {
    const sum = sums[route] ?? { same: 0, wouldAllow: 0, wouldRefuse: 0, unknown: 0 }
    sums[route] = {
      same: sum.same + counts.same,
      wouldAllow: sum.wouldAllow + counts.wouldAllow,
      wouldRefuse: sum.wouldRefuse + counts.wouldRefuse,
      unknown: sum.unknown + counts.unknown,
    }
  }
  return sums
}

/** `token.expired` is one of `token`. */
function familyOf(reason: string): string {
  const dot = reason.indexOf('.')
  return dot < 0 ? reason : reason.slice(0, dot)
}

function trialOf({ routes, defaults }: Config, id: string): string {
  const route = routes[id]
  return JSON.stringify([route?.access ?? defaults.access, route?.proposed])
}
