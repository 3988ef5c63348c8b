/** Connections to upstreams: one pool per origin, HTTP/1.1, never pipelined, with time-outs kept by the relays. */

import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { Pool } from 'undici'

export interface UpstreamPools {
  /** The pool of this upstream's origin, opened on first use. */
  of(origin: string): Pool
  /** What TLS is told and checks: the upstream's own name, whatever Host the request carries. Null for plain HTTP. */
  tlsOf(origin: string): UpstreamTls | null
  /** Closes the pools of all other origins once their requests are over. Asked for again, such an origin gets a new one. */
  keep(origins: ReadonlySet<string>): void
  /** Waits for requests under way. */
  close(): Promise<void>
  /** Ends requests under way. */
  destroy(): Promise<void>
}

export interface UpstreamTls {
  /** Empty for an address, which is no name to ask for (RFC 6066 §3). */
  readonly servername: string
  checkServerIdentity(name: string, certificate: PeerCertificate): Error | undefined
}

/** Event streams hold one each for as long as they live. */
const CONNECTIONS_MAX = 1024
const CONNECT_TIMEOUT_MS = 5_000
/** Shorter than what servers keep an idle connection for (Node's own default is 5 s), so that fewer requests meet a dead one. */
const KEEP_ALIVE_MS = 4_000
const HEADER_BYTES_MAX = 64 * 1024

export function upstreamPools(): UpstreamPools {
  const pools = new Map<string, Pool>()
  /** Of origins that no policy names any more. */
  const leaving = new Set<Pool>()
  const names = new Map<string, UpstreamTls | null>()
  const tlsOf = (origin: string): UpstreamTls | null => {
    const known = names.get(origin)
    if (known !== undefined) return known
    const tls = upstreamTls(new URL(origin))
    names.set(origin, tls)
    return tls
  }
  return {
    of(origin) {
      const known = pools.get(origin)
      if (known !== undefined) return known
      const pool = new Pool(origin, {
        connections: CONNECTIONS_MAX,
        pipelining: 1,
        allowH2: false,
        headersTimeout: 0,
        bodyTimeout: 0,
        keepAliveTimeout: KEEP_ALIVE_MS,
        keepAliveMaxTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: HEADER_BYTES_MAX,
        connect: { timeout: CONNECT_TIMEOUT_MS, ...tlsOf(origin) },
      })
      pools.set(origin, pool)
      return pool
    },
    tlsOf,
    keep(origins) {
      for (const [origin, pool] of pools) {
        if (origins.has(origin)) continue
        pools.delete(origin)
        names.delete(origin)
        leaving.add(pool)
        void pool.close().finally(() => leaving.delete(pool))
      }
    },
    async close() {
      await Promise.all([...pools.values(), ...leaving].map((pool) => pool.close()))
    },
    async destroy() {
      await Promise.all([...pools.values(), ...leaving].map((pool) => pool.destroy()))
    },
  }
}

function upstreamTls({ protocol, hostname }: URL): UpstreamTls | null {
  if (protocol !== 'https:') return null
  const name = hostname.replace(/^\[|\]$/g, '')
  return {
    servername: isIP(name) === 0 ? name : '',
    checkServerIdentity: (_name, certificate) => checkServerIdentity(name, certificate),
  }
}
