/**
 * What a process works on at once, and what it turns away at the door: requests beyond the cap of the node or of a client
 * address, and a share of all when it falls behind. A request costs an addition and a look into a map.
 */

import { clientAddressOf, peerOf } from '../../admit/client-address.ts'
import { readName } from '../../http/field-line.ts'
import { networkOf } from '../../limit/address.ts'
import { Refusal } from '../../model.ts'
import type { AdmissionRules } from '../../snapshot.ts'
import type { Config } from '../config-file.ts'
import type { InboundRequest } from '../inbound.ts'
import type { ConnectionCounts } from './connection-caps.ts'
import type { Lag } from './lag.ts'

export interface PressureLimits {
  readonly connectionsMax: number
  readonly connectionsPerAddressMax: number
  readonly inFlightMax: number
  readonly inFlightPerAddressMax: number
  readonly headTimeoutMs: number
  readonly bodyIdleMs: number
}

/** A request under way, counted with its address. */
export interface Place {
  readonly network: string
  count: number
}

export interface Pressure {
  readonly limits: PressureLimits
  /** Those of another policy; what is under way stays. */
  follow(limits: PressureLimits): void
  /** A place, to be given back once; null where none is needed; or why there is none. */
  enter(rules: AdmissionRules, request: InboundRequest): Place | Refusal | null
  leave(place: Place): void
  readonly inFlightCount: number
  /** Kept by the listener. */
  readonly connections: ConnectionCounts
  readonly lag: Lag | null
}

const NODE_BUSY = busy('as many requests under way as `admission.inFlight` allows')
const ADDRESS_BUSY = busy('as many requests of this address under way as `admission.inFlightPerAddress` allows')
const LATE = busy('the process falls behind and sheds load')

/** Over TLS a connection that was reset cannot tell its address any more: no limit, rule or log would know whose request it is. */
const GONE = Object.freeze(new Refusal('head.malformed', { log: 'the client was gone, and its address with it' }))

/** Balancers ask these to find out whether to send more; an answer of no would be about the wrong thing. */
const HEALTH: ReadonlySet<string> = new Set(['/_postern/healthz', '/_postern/readyz'])

/** Remembered, whether they have requests under way or not. */
const NETWORKS_MAX = 4096

const UNDERSCORE = 0x5f

/** One of `workers` processes has its part of what the node may do. */
export function pressureLimits(admission: Config['admission'], workers = 1): PressureLimits {
  const part = (count: number | 'off') => (count === 'off' ? Number.POSITIVE_INFINITY : Math.ceil(count / workers))
  return {
    connectionsMax: part(admission.connections),
    connectionsPerAddressMax: part(admission.connectionsPerAddress),
    inFlightMax: part(admission.inFlight),
    inFlightPerAddressMax: part(admission.inFlightPerAddress),
    headTimeoutMs: admission.headTimeout,
    bodyIdleMs: admission.bodyIdle,
  }
}

/** Without `lag` nothing is shed. */
export function openPressure(initial: PressureLimits, lag: Lag | null): Pressure {
  const byNetwork = new Map<string, Place>()
  let limits = initial
  let inFlightCount = 0
  let networksMax = NETWORKS_MAX
  /** Not one by one: a map that each request adds to and takes from is rebuilt all the time. */
  const forgetIdle = () => {
    for (const [network, { count }] of byNetwork) if (count === 0) byNetwork.delete(network)
    networksMax = Math.max(NETWORKS_MAX, 2 * byNetwork.size)
  }
  return {
    get limits() {
      return limits
    },
    follow(next) {
      limits = next
    },
    enter(rules, request) {
      const { url = '' } = request
      if (url.charCodeAt(1) === UNDERSCORE && HEALTH.has(url)) return null
      if (request.socket.remoteAddress === undefined) return GONE
      if (inFlightCount >= limits.inFlightMax) return NODE_BUSY
      if (lag !== null && lag.shedShare > 0 && Math.random() < lag.shedShare) return LATE
      const network = networkOf(clientOf(rules, request))
      let place = byNetwork.get(network)
      if (place === undefined) {
        place = { network, count: 0 }
        byNetwork.set(network, place)
      } else if (place.count >= limits.inFlightPerAddressMax) return ADDRESS_BUSY
      place.count++
      inFlightCount++
      return place
    },
    leave(place) {
      inFlightCount--
      place.count--
      if (place.count === 0 && byNetwork.size > networksMax) forgetIdle()
    },
    get inFlightCount() {
      return inFlightCount
    },
    connections: { open: 0, refused: 0 },
    lag,
  }
}

/** As admission will find it, before there is an admitted head. */
function clientOf({ isTrusted }: AdmissionRules, request: InboundRequest): string {
  const peer = peerOf(request.socket.remoteAddress ?? '')
  if (!isTrusted(peer)) return peer
  const headers = request.rawHeaders
  const names: string[] = []
  for (let at = 0; at < headers.length; at += 2) names.push(readName(headers[at]!).lower)
  return clientAddressOf(isTrusted, peer, { headers, names })
}

function busy(log: string): Refusal {
  return Object.freeze(new Refusal('gateway.busy', { log, retryAfterMs: 1000 }))
}
