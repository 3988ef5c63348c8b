/**
 * Decides recorded requests under two policies. A record holds less than a request: what it does not say can come out either way,
 * and a request that depends on it is reported as one that cannot be decided, with what is missing.
 */

import type { Route } from '../../rules.ts'
import { describeAccess } from '../describe.ts'
import { askedOf, type Change, compareAsked } from './access.ts'
import { type DiffedPolicy, paramsOf } from './diff.ts'
import { decideRecorded, hostsOf, type Recorded, type Verdict } from './replay-decide.ts'
import { readRecord } from './replay-record.ts'

export interface ReplayGroup {
  /** `would-refuse`, `would-allow`, `elsewhere` (let in, but it goes to another place), or `undecidable`. */
  readonly change: 'would-allow' | 'elsewhere' | 'would-refuse' | 'undecidable'
  readonly method: string
  /** The line that decides, under the old policy where there is one. */
  readonly route: string
  /** In plain words; of what cannot be decided, what is missing. */
  readonly before: string
  readonly after: string
  readonly count: number
  /** Request ids, three at most. */
  readonly samples: readonly string[]
}

export interface ReplayReport {
  readonly groups: readonly ReplayGroup[]
  readonly requests: number
  readonly unchanged: number
  /** Lines of the log that are not about a request: notes, faults, the audit. */
  readonly otherLines: number
  /** Lines that are not JSON, or not of this log. */
  readonly garbage: number
  /** Let in when they were recorded, and refused by the old policy: another one was in force. */
  readonly disagreeing: number
}

const SAMPLES_MAX = 3
/** A log that names more methods, or policies of more lines, is summed up in one row. */
const GROUPS_MAX = 50_000
const RANK = { 'would-allow': 0, elsewhere: 1, 'would-refuse': 2, undecidable: 3 } as const

export async function replay(
  before: DiffedPolicy,
  after: DiffedPolicy,
  lines: AsyncIterable<string | null>,
): Promise<ReplayReport> {
  const hosts = hostsOf(before, after)
  const groups = new Map<string, { group: Omit<ReplayGroup, 'count' | 'samples'>; count: number; samples: string[] }>()
  const counts = { requests: 0, unchanged: 0, otherLines: 0, garbage: 0, disagreeing: 0 }
  const compare = comparison()
  for await (const line of lines) {
    const record = line === null ? 'garbage' : readRecord(line)
    if (record === 'garbage') counts.garbage += 1
    else if (record === 'other') counts.otherLines += 1
    else {
      counts.requests += 1
      const change = compareRecorded(before, after, record, hosts, compare)
      if (change.disagrees) counts.disagreeing += 1
      if (change.group === null) {
        counts.unchanged += 1
        continue
      }
      const key = JSON.stringify(change.group)
      const known = groups.get(key) ?? groups.get(groups.size >= GROUPS_MAX ? REST_KEY : key)
      const entry = known ?? { group: groups.size >= GROUPS_MAX ? REST : change.group, count: 0, samples: [] }
      if (known === undefined) groups.set(entry.group === REST ? REST_KEY : key, entry)
      entry.count += 1
      if (entry.samples.length < SAMPLES_MAX) entry.samples.push(record.requestId)
    }
  }
  const rows = [...groups.values()].map(({ group, count, samples }) => ({ ...group, count, samples }))
  return { groups: rows.toSorted((a, b) => RANK[a.change] - RANK[b.change] || b.count - a.count), ...counts }
}

type Group = Omit<ReplayGroup, 'count' | 'samples'>

const REST: Group = {
  change: 'undecidable',
  method: '-',
  route: 'many more',
  before: 'too many kinds of changes to list',
  after: '',
}
const REST_KEY = 'rest'

interface Found {
  readonly group: Group | null
  readonly disagrees: boolean
}

/** One request, for every host and way it could have come by. */
function compareRecorded(
  before: DiffedPolicy,
  after: DiffedPolicy,
  record: Recorded,
  hosts: ReturnType<typeof hostsOf>,
  compare: Compare,
): Found {
  const found = new Map<string, Found>()
  const pairs = hosts.of(record)
  for (const host of pairs) {
    for (const isUpgrade of record.isUpgrade === null ? [false, true] : [record.isUpgrade]) {
      const was = asRecorded(before, record, decideRecorded(before.snapshot, record, host.before, isUpgrade, null))
      const is = decideRecorded(after.snapshot, record, host.after, isUpgrade, was)
      const disagrees = record.wasForwarded && was.kind === 'refuse'
      const group = groupOf(record, was, is, compare(was.route, is.route, isUpgrade ? 'WEBSOCKET' : record.method))
      found.set(JSON.stringify([group, disagrees]), { group, disagrees })
    }
  }
  const [first, ...others] = [...found.values()]
  if (others.length === 0) return first!
  const some = [...found.values()].find(({ group }) => group !== null)?.group
  if (some === null || some === undefined) return { group: null, disagrees: false }
  const missing = pairs.length > 1 ? 'the host it was sent to' : 'whether it was a WebSocket upgrade'
  return { group: undecidable(record, some.route, missing), disagrees: false }
}

const REFUSED_BY_POLICY =
  /^(?:role|scope|group|email|claim|mfa)\.missing$|^(?:any|not)\.(?:un)?met$|^(?:address\.elsewhere|fresh\.stale|credential\.(?:kind|missing)|condition\.false|route\.(?:unlisted|denied)|method\.unlisted)$/

/** What the log does not hold was known when it was written: how it came out then tells, if the old policy was the one in force. */
function asRecorded({ snapshot }: DiffedPolicy, record: Recorded, was: Verdict): Verdict {
  if (was.kind !== 'unknown' || (record.policy !== null && !snapshot.version.startsWith(record.policy))) return was
  const why = was.route === null ? was.why : accessWords(was.route, record.method)
  if (record.wasForwarded) return { ...was, kind: 'allow', why }
  return record.reason !== null && REFUSED_BY_POLICY.test(record.reason) ? { ...was, kind: 'refuse', why } : was
}

function accessWords({ access }: Route, method: string): string {
  const asked = askedOf(access, method)
  return asked === null ? 'nobody' : describeAccess(asked)
}

function groupOf(record: Recorded, was: Verdict, is: Verdict, change: Change | null): Group | null {
  if ((was.kind === 'refuse' && is.kind === 'refuse') || (was.isPolicyFree && is.isPolicyFree)) return null
  const route = (was.route ?? is.route)?.id ?? '-'
  const base = { method: record.method, route, before: was.why, after: is.why }
  const elsewhere = (): Group | null => {
    const [there, here] = [placeOf(was.route), placeOf(is.route)]
    return there === here ? null : { ...base, change: 'elsewhere', before: there, after: here }
  }
  if (was.isRouted && is.isRouted) {
    if (was.kind === 'allow' && (change === null || change === 'opened')) return elsewhere()
    if (was.kind === 'refuse' && (change === null || change === 'closed')) return null
    if (change === null && elsewhere() === null) return null
  }
  const unsure = was.kind === 'unknown' ? was : is.kind === 'unknown' ? is : null
  if (unsure !== null) return undecidable(record, route, unsure.why)
  if (was.kind !== is.kind) return { ...base, change: is.kind === 'allow' ? 'would-allow' : 'would-refuse' }
  return elsewhere()
}

function undecidable({ method }: Recorded, route: string, missing: string): Group {
  return { change: 'undecidable', method, route, before: missing, after: '' }
}

type Compare = (before: Route | null, after: Route | null, method: string) => Change | null

/** What two lines ask of one method, asked once for each pair. */
function comparison(): Compare {
  const known = new Map<Route | null, Map<Route | null, Map<string, Change | null>>>()
  return (before, after, method) => {
    const row = known.get(before) ?? new Map<Route | null, Map<string, Change | null>>()
    const methods = row.get(after) ?? new Map<string, Change | null>()
    known.set(before, row.set(after, methods))
    const found = methods.get(method)
    if (found !== undefined) return found
    const asked = [before, after].map((route) => askedOf(route?.access ?? null, method))
    const change = compareAsked(asked[0]!, asked[1]!, { before: paramsOf(before), after: paramsOf(after) })
    if (methods.size < METHODS_MAX) methods.set(method, change)
    return change
  }
}

/** A log may name any method. */
const METHODS_MAX = 100

/** Where the request goes: the machines and the path they see. */
function placeOf(route: Route | null): string {
  if (route === null || route.upstream === null) return 'nowhere'
  const { upstream, prefixSwap } = route
  const servers = upstream.servers.map(({ origin }) => origin).sort()
  const swap =
    prefixSwap === null || prefixSwap.strip === prefixSwap.add
      ? ''
      : ` with ${prefixSwap.strip || '/'} as ${prefixSwap.add || '/'}`
  return `${upstream.id} at ${servers.join(', ')}${swap}`
}
