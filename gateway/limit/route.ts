/** The limits of a route: what is counted by client address before any cryptography, and all else once the caller may come in. */

import {
  type Authentication,
  type HeaderList,
  type Lease,
  type Principal,
  Refusal,
  type RequestHead,
  type Soon,
} from '../model.ts'
import type { Charge, Counters, Demand } from '../ports.ts'
import type { Limit, RateRule, Route } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { networkOf } from './address.ts'
import { unavailable } from './charge.ts'
import { credentialKey } from './credential.ts'
import { limitFields } from './fields.ts'

/** What was counted so far: the places it takes, and the lines that say what is left. */
export interface Charged {
  readonly leases: readonly Lease[]
  readonly headers: HeaderList
}

const NOTHING: Charged = Object.freeze({ leases: Object.freeze([]), headers: Object.freeze([]) })
/** Nobody can say when somebody will hang up. */
const CONNECTIONS_RETRY_MS = 1000

/** Limits `per ip`. */
export function chargeAddress(
  snapshot: Snapshot,
  counters: Counters,
  route: Route,
  head: RequestHead,
): Soon<Charged | Refusal> {
  const demands: Demand[] = []
  for (const limit of route.limits) {
    if (limit.per === 'ip') demands.push({ key: `${limit.id} ${networkOf(head.clientAddress)}`, limit })
  }
  return demands.length === 0 ? NOTHING : chargeAll(snapshot, counters, demands, head.receivedAtMs, NOTHING)
}

/**
 * Limits `per user`, `per key` and `per route`, and the credential's own, in one step: all are charged or none. Yields all that
 * was charged, `ofAddress` included. Releases nothing of `ofAddress`.
 */
export function chargePrincipal(
  snapshot: Snapshot,
  counters: Counters,
  route: Route,
  { principal, rate }: Authentication,
  head: RequestHead,
  ofAddress: Charged,
): Soon<Charged | Refusal> {
  if (route.limits.length === 0 && rate === null) return ofAddress
  const demands: Demand[] = []
  for (const limit of route.limits) {
    const who = limit.per === 'ip' ? null : whoIs(limit, principal, head)
    if (who !== null) demands.push({ key: `${limit.id} ${who}`, limit })
  }
  if (rate !== null && principal !== null) {
    demands.push({ key: credentialKey(principal.keyId), limit: ofCredential(rate) })
  }
  return demands.length === 0 ? ofAddress : chargeAll(snapshot, counters, demands, head.receivedAtMs, ofAddress)
}

/** Whose use is counted; null for one that this limit does not concern. Nobody in particular counts by address, never for free. */
function whoIs({ per }: Limit, principal: Principal | null, head: RequestHead): string | null {
  if (per === 'route') return 'all'
  if (per === 'key') return principal?.keyId ?? null
  if (principal === null) return `nobody ${networkOf(head.clientAddress)}`
  return principal.subject // unique across issuers, and one for a user of ours whoever vouches for them (SECURITY rule 12)
}

const OF_CREDENTIAL = 'key'

function ofCredential(rule: RateRule): Limit {
  return { kind: 'rate', id: OF_CREDENTIAL, per: 'key', rule, text: OF_CREDENTIAL }
}

function chargeAll(
  snapshot: Snapshot,
  counters: Counters,
  demands: readonly Demand[],
  nowMs: number,
  before: Charged,
): Soon<Charged | Refusal> {
  const charge = counters.charge(demands, nowMs, snapshot.onCountersOutage)
  if (!(charge instanceof Promise)) return settle(charge, demands, before)
  return charge.then((later) => settle(later, demands, before), unavailable)
}

function settle({ lease, standings }: Charge, demands: readonly Demand[], before: Charged): Charged | Refusal {
  const headers = limitFields(demands, standings, before.headers)
  const refused = longest(demands, standings)
  if (refused !== null) {
    const { limit, retryAfterMs } = refused
    return new Refusal(reasonOf(limit), { retryAfterMs, headers, log: limit.text })
  }
  return { leases: lease === null ? before.leases : [...before.leases, lease], headers }
}

/** Of the limits that refuse, the one that does for longest; null when none does. */
function longest(
  demands: readonly Demand[],
  standings: Charge['standings'],
): { readonly limit: Limit; readonly retryAfterMs: number } | null {
  let found: { readonly limit: Limit; readonly retryAfterMs: number } | null = null
  for (const [at, { isAdmitted, resetMs }] of standings.entries()) {
    if (isAdmitted) continue
    const retryAfterMs = resetMs ?? CONNECTIONS_RETRY_MS
    if (found === null || retryAfterMs > found.retryAfterMs) found = { limit: demands[at]!.limit, retryAfterMs }
  }
  return found
}

function reasonOf({ kind, id }: Limit): 'route.limit' | 'route.connections' | 'key.limit' {
  if (kind === 'connections') return 'route.connections'
  return id === OF_CREDENTIAL ? 'key.limit' : 'route.limit'
}
