/** What the Node runtime holds while it serves: one compiled policy, the ports behind it, and the connections that are open. */

import type { Ports } from '../ports.ts'
import type { Snapshot } from '../snapshot.ts'
import type { Ending } from './ending.ts'
import type { OpenExchanges } from './open-exchanges.ts'
import type { OpenSockets } from './open-sockets.ts'
import type { Pressure } from './pressure/pressure.ts'
import type { RelaySweep } from './relay-sweep.ts'
import type { Upstreams } from './upstream/upstreams.ts'

/** The gateway's own paths. Requests come rebuilt from an admitted head. */
export interface Endpoints {
  fetch(request: Request): Promise<Response> | Response
}

/**
 * One value from first to last of an exchange: whoever reads two things of it reads them of one policy. A reload makes a new
 * one, which shares with the old what outlives a policy.
 */
export interface Gateway {
  readonly snapshot: Snapshot
  readonly ports: Ports
  readonly endpoints: Endpoints
  readonly upstreams: Upstreams
  readonly sweep: RelaySweep
  readonly upgraded: OpenSockets
  readonly exchanges: OpenExchanges
  readonly pressure: Pressure
  readonly ending: Ending
}

/** Where servers find the gateway of the next exchange. */
export interface GatewaySource {
  readonly current: Gateway
}
