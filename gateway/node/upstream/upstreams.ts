/** The servers behind the gateway: how each is reached, and what outlives a reload of the policy that names them. */

import { type UpstreamTls, upstreamTls } from './tls.ts'
import type { Transport, UpstreamCall, UpstreamHandler, UpstreamRequest } from './transport.ts'
import { undiciTransport } from './undici-transport.ts'

export interface Upstreams {
  /** Asks the server of this origin, to which connections are opened on first use. */
  send(origin: string, request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall
  /** What TLS to this origin is told; null for plain HTTP. */
  tlsOf(origin: string): UpstreamTls | null
  /** Closes the connections to all other origins once their requests are over. Asked for again, such an origin gets new ones. */
  keep(origins: ReadonlySet<string>): void
  /** Waits for requests under way. */
  close(): Promise<void>
  /** Ends requests under way. */
  destroy(): Promise<void>
}

interface Server {
  readonly transport: Transport
  readonly tls: UpstreamTls | null
}

export function openUpstreams(): Upstreams {
  const servers = new Map<string, Server>()
  /** Of origins that no policy names any more. */
  const leaving = new Set<Transport>()
  const serverOf = (origin: string): Server => {
    const known = servers.get(origin)
    if (known !== undefined) return known
    const tls = upstreamTls(new URL(origin))
    const server = { transport: undiciTransport(origin, tls), tls }
    servers.set(origin, server)
    return server
  }
  const all = (): Transport[] => [...[...servers.values()].map(({ transport }) => transport), ...leaving]
  return {
    send: (origin, request, handler) => serverOf(origin).transport.send(request, handler),
    tlsOf: (origin) => serverOf(origin).tls,
    keep(origins) {
      for (const [origin, { transport }] of servers) {
        if (origins.has(origin)) continue
        servers.delete(origin)
        leaving.add(transport)
        void transport.close().finally(() => leaving.delete(transport))
      }
    },
    async close() {
      await Promise.all(all().map((transport) => transport.close()))
    },
    async destroy() {
      await Promise.all(all().map((transport) => transport.destroy()))
    },
  }
}
