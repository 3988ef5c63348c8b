/** The servers behind the gateway: which are asked, how each is reached, and what outlives a reload of the policy that names them. */

import type { LookupFunction } from 'node:net'
import { nextServer } from '../../forward/servers.ts'
import type { ServerChoice } from '../../ports.ts'
import type { Upstream } from '../../rules.ts'
import type { Snapshot } from '../../snapshot.ts'
import { LiveUpstream } from './live-upstream.ts'

export interface Upstreams extends ServerChoice {
  /** As it stands now. One that no policy in force names is there for as long as it is needed. */
  of(upstream: Upstream): LiveUpstream
  /** Another policy is in force: what is the same in it stays as it is, and what it does not name finishes what it has. */
  follow(snapshot: Pick<Snapshot, 'upstreams' | 'admission'>): void
  /** Of each server of the policy in force. */
  report(): readonly UpstreamReport[]
  /** Waits for requests under way. */
  close(): Promise<void>
  /** Ends requests under way. */
  destroy(): Promise<void>
}

export interface UpstreamReport {
  readonly id: string
  readonly queued: number
  readonly retries: number
  readonly sheds: number
  readonly servers: readonly {
    readonly origin: string
    readonly state: 'up' | 'down' | 'ejected'
    readonly underWay: number
    readonly requests: number
  }[]
}

export interface UpstreamsOptions {
  /** Takes what an operator should know. */
  readonly tell?: (note: string) => void
  /** Finds addresses of names; absent, the system's. */
  readonly lookup?: LookupFunction
  /** How often it is asked whether a name means the same; absent, often enough. */
  readonly lookMs?: number
  /** False in tests that compare our own client with undici. */
  readonly isClientOurs?: boolean
}

const TICK_MS = 1_000

export function openUpstreams(options: UpstreamsOptions = {}): Upstreams {
  const { tell = () => {}, lookup = null, lookMs, isClientOurs = true } = options
  const deps = { tell, lookup, lookMs, isClientOurs, monotonicMs: () => performance.now() }
  const live = new Map<string, LiveUpstream>()
  /** Named by no policy any more. */
  const leaving = new Set<LiveUpstream>()
  const clock = setInterval(tick, TICK_MS).unref()

  return {
    choose(upstream) {
      const { length } = upstream.servers
      const known = live.get(upstream.id)
      // An exchange that began under another policy keeps to the servers of that one.
      if (known?.policy !== upstream) return length === 0 ? null : nextServer(upstream)
      return known.choose()
    },
    of(upstream) {
      return live.get(upstream.id) ?? open(upstream, null)
    },
    follow({ upstreams, admission }) {
      for (const [id, upstream] of live) {
        if (upstreams.has(id)) continue
        live.delete(id)
        leaving.add(upstream)
        upstream.retire()
      }
      for (const [id, upstream] of upstreams) {
        const known = live.get(id)
        if (known === undefined) open(upstream, admission.authority)
        else known.follow(upstream, admission.authority)
      }
    },
    report() {
      return [...live].map(([id, { queued, retries, sheds, servers }]) => ({
        id,
        queued,
        retries,
        sheds,
        servers: servers.map(({ origin, isDown, isEjected, underWay, requests }) => {
          const state = isDown ? 'down' : isEjected ? 'ejected' : 'up'
          return { origin, state, underWay, requests }
        }),
      }))
    },
    async close() {
      clearInterval(clock)
      await Promise.all([...live.values(), ...leaving].map((upstream) => upstream.close()))
    },
    async destroy() {
      clearInterval(clock)
      await Promise.all([...live.values(), ...leaving].map((upstream) => upstream.destroy()))
    },
  }

  function open(upstream: Upstream, publicHost: string | null): LiveUpstream {
    const opened = new LiveUpstream(upstream, deps)
    opened.follow(upstream, publicHost)
    live.set(upstream.id, opened)
    return opened
  }

  function tick(): void {
    for (const upstream of live.values()) upstream.tick()
    for (const upstream of leaving) if (upstream.isIdle) leaving.delete(upstream)
  }
}
