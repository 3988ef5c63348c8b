/** How a server is reached: the one place that chooses what speaks to it. */

import { socketPathOf } from '../../http/authority.ts'
import type { Upstream } from '../../rules.ts'
import { ClientTransport, clientTargetOf } from './client/client-transport.ts'
import { http2Transport } from './http2-transport.ts'
import { type UpstreamTls, upstreamTls } from './tls.ts'
import type { Transport, TransportOptions } from './transport.ts'
import { undiciTransport } from './undici-transport.ts'
import { wayOf } from './ways.ts'

export function openTransport(upstream: Upstream, origin: string, options: TransportOptions): Transport {
  const tls = tlsOf(upstream, origin)
  const target = options.isClientOurs ? clientTargetOf(origin) : null
  const http1 = () => (target === null ? undiciTransport(origin, tls, options) : new ClientTransport(target, options))
  if (!wayOf(upstream).isHttp2) return http1()
  return http2Transport({ origin, socketPath: socketPathOf(origin), tls }, options, http1)
}

/** Two settings with the same key are reached alike, so that connections outlive a change of anything else. */
export function transportKey(upstream: Upstream): string {
  const { connectMs } = upstream
  return JSON.stringify([connectMs, wayOf(upstream)])
}

/** Null for plain HTTP. */
export function tlsOf(upstream: Upstream, origin: string): UpstreamTls | null {
  return upstreamTls(origin, wayOf(upstream))
}
