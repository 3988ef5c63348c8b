/** Connections to upstreams: one pool per origin, HTTP/1.1, never pipelined, with time-outs kept by the relays. */

import { Pool } from 'undici'
import type { Upstream } from '../model.ts'

export interface UpstreamPools {
  /** The pool of this upstream's origin, opened on first use. */
  of(upstream: Upstream): Pool
  /** Name for TLS: the upstream's own, whatever Host the request carries. */
  serverNameOf(upstream: Upstream): string | null
  /** Waits for requests under way. */
  close(): Promise<void>
  /** Ends requests under way. */
  destroy(): Promise<void>
}

const CONNECTIONS_MAX = 128
const CONNECT_TIMEOUT_MS = 5_000
/** Shorter than what servers keep an idle connection for (Node's own default is 5 s), so that fewer requests meet a dead one. */
const KEEP_ALIVE_MS = 4_000
const HEADER_BYTES_MAX = 64 * 1024

export function upstreamPools(): UpstreamPools {
  const pools = new Map<string, Pool>()
  const names = new Map<string, string | null>()
  return {
    of({ origin }) {
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
        connect: { timeout: CONNECT_TIMEOUT_MS },
      })
      pools.set(origin, pool)
      return pool
    },
    serverNameOf({ origin }) {
      const known = names.get(origin)
      if (known !== undefined) return known
      const { protocol, hostname } = new URL(origin)
      const isAddress = hostname.startsWith('[') || /^[0-9.]+$/.test(hostname)
      const name = protocol === 'https:' && !isAddress ? hostname : null
      names.set(origin, name)
      return name
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.close()))
    },
    async destroy() {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()))
    },
  }
}
