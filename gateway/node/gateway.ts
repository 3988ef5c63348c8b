/** What the Node runtime holds while it serves: one compiled policy, the ports behind it, and the connections that are open. */

import type { Ports } from '../ports.ts'
import type { Snapshot } from '../snapshot.ts'
import type { OpenExchanges } from './open-exchanges.ts'
import type { OpenSockets } from './open-sockets.ts'
import type { RelaySweep } from './relay-sweep.ts'
import type { UpstreamPools } from './upstream-pool.ts'

/** The gateway's own paths. Requests come rebuilt from an admitted head. */
export interface Endpoints {
  fetch(request: Request): Promise<Response> | Response
}

export interface Gateway {
  readonly snapshot: Snapshot
  readonly ports: Ports
  readonly endpoints: Endpoints
  readonly pools: UpstreamPools
  readonly sweep: RelaySweep
  readonly upgraded: OpenSockets
  readonly exchanges: OpenExchanges
}
