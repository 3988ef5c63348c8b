/** One upstream as it stands now: which of its servers is next, who waits for one, and what may be tried again. */

import { hostOf } from '../../http/authority.ts'
import type { Upstream } from '../../rules.ts'
import { leastLoadedOfTwo } from './choice.ts'
import { LiveServer, type ServerDeps } from './live-server.ts'
import { transportKey } from './open-transport.ts'
import { RetryBudget } from './retry-budget.ts'

/** Whose request it is. */
export interface Asker {
  /** It has waited, and here is its place. */
  onTurn(server: LiveServer): void
}

export type LiveUpstreamDeps = Pick<ServerDeps, 'lookup' | 'lookMs' | 'isClientOurs' | 'tell' | 'monotonicMs'>

export class LiveUpstream {
  /** Tries beyond the first, and requests turned away, of all times. */
  retries = 0
  sheds = 0
  readonly #deps: LiveUpstreamDeps
  #policy: Upstream
  #key = ''
  #servers: readonly LiveServer[] = []
  /** Named by no policy any more, or only by the one that an exchange began with. */
  readonly #late = new Set<LiveServer>()
  /** First come, first served. */
  readonly #waiting = new Set<Asker>()
  readonly #budget = new RetryBudget()

  constructor(upstream: Upstream, deps: LiveUpstreamDeps) {
    this.#policy = upstream
    this.#deps = deps
  }

  get policy(): Upstream {
    return this.#policy
  }

  get servers(): readonly LiveServer[] {
    return this.#servers
  }

  get queued(): number {
    return this.#waiting.size
  }

  get isIdle(): boolean {
    return this.#late.size === 0
  }

  /** Takes up what the policy in force says. Servers that it does not name finish what they have. */
  follow(upstream: Upstream, publicHost: string | null): void {
    const key = transportKey(upstream)
    const kept = key === this.#key ? this.#servers : []
    const before = this.#servers
    this.#policy = upstream
    this.#key = key
    this.#servers = upstream.servers.map(({ origin }) => {
      return kept.find((server) => server.origin === origin) ?? this.#newServer(upstream, origin, false)
    })
    for (const [at, { origin, weight }] of upstream.servers.entries()) {
      const host = upstream.host === 'upstream' ? hostOf(origin) : publicHost
      this.#servers[at]!.follow(upstream, weight, publicHost === null ? null : host)
    }
    for (const server of before) if (!this.#servers.includes(server)) this.#retire(server)
    this.#admitWaiting()
  }

  /** Nobody names it any more. */
  retire(): void {
    for (const server of this.#servers) this.#retire(server)
    this.#servers = []
  }

  /** Null when none is well. One that was left alone is tried when it is time. */
  choose(): LiveServer | null {
    const servers = this.#servers
    if (servers.length === 1) return servers[0]!.isDown ? null : servers[0]!
    for (const server of servers) if (server.isEjected && server.mayProbe()) return server
    return leastLoadedOfTwo(this.#askable(), Math.random)
  }

  /** Those that are up; were there none, those that are left alone are better than nothing, and those that are down are not. */
  #askable(): readonly LiveServer[] {
    const up = this.#servers.filter((server) => server.isUp)
    return up.length > 0 ? up : this.#servers.filter((server) => !server.isDown)
  }

  /**
   * A place at the server of this origin, as the policy of who asks knows it, or, where it has none, at another. Who has to wait hears in `onTurn`; where too many
   * wait there is nothing to wait for.
   */
  enter(upstream: Upstream, origin: string, asker: Asker): LiveServer | 'waiting' | 'busy' {
    const server = this.#serverOf(upstream, origin)
    // Who tries a server that was left alone waits for nobody: it might be what all the others wait for.
    if (server.isEjected && this.#hasRoom(server)) {
      server.enter(asker)
      return server
    }
    if (this.#waiting.size === 0) {
      const free = this.#hasRoom(server) ? server : this.#roomy()
      if (free !== null) {
        free.enter(asker)
        return free
      }
    }
    if (this.#waiting.size >= this.#policy.queueMax) {
      this.sheds += 1
      return 'busy'
    }
    this.#waiting.add(asker)
    return 'waiting'
  }

  /** Waits no longer. True if it did. */
  forget(asker: Asker): boolean {
    return this.#waiting.delete(asker)
  }

  /**
   * Where a failed request may be sent once more: another server that is up, else one that is left alone, else the same again
   * where only the connection had grown old. Null when there is none, or when there have been too many tries lately.
   */
  retryAt(failed: readonly string[], isStale: boolean): string | null {
    const untried = this.#servers.filter((server) => !server.isDown && !failed.includes(server.origin))
    const up = untried.filter((server) => !server.isEjected)
    const others = up.length > 0 ? up : untried
    const last = failed.at(-1)!
    const origin = leastLoadedOfTwo(others, Math.random)?.origin ?? (isStale ? last : null)
    if (origin === null || !this.#budget.take(this.#policy.retryPercentMax, this.#requests())) return null
    this.retries += 1
    return origin
  }

  /** Once a second. */
  tick(): void {
    this.#budget.tick(this.#requests())
  }

  async close(): Promise<void> {
    await Promise.all([...this.#servers, ...this.#late].map((server) => server.close()))
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#servers, ...this.#late].map((server) => server.destroy()))
  }

  /** Tries beyond the first are none of them. */
  #requests(): number {
    let total = -this.retries
    for (const { requests } of this.#servers) total += requests
    return Math.max(0, total)
  }

  #serverOf(upstream: Upstream, origin: string): LiveServer {
    for (const server of this.#servers) if (server.origin === origin) return server
    for (const server of this.#late) if (server.origin === origin && !server.isGone) return server
    const server = this.#newServer(upstream, origin, true)
    this.#late.add(server)
    return server
  }

  #newServer(upstream: Upstream, origin: string, isLate: boolean): LiveServer {
    return new LiveServer({
      ...this.#deps,
      upstream,
      origin,
      isLate,
      mayEject: () => this.#mayEject(),
      onFree: () => this.#admitSoon(),
      onGone: (gone) => this.#late.delete(gone),
    })
  }

  #retire(server: LiveServer): void {
    this.#late.add(server)
    server.retire()
  }

  /** At most half of those that are not down: what all suffer from is not mended by asking nobody. */
  #mayEject(): boolean {
    const well = this.#servers.filter((server) => !server.isDown)
    const out = well.filter((server) => server.isEjected).length
    return out + 1 <= Math.floor(well.length / 2)
  }

  #hasRoom(server: LiveServer): boolean {
    return server.underWay < this.#policy.connectionsMax
  }

  #roomy(): LiveServer | null {
    if (this.#servers.length === 1) return this.#hasRoom(this.#servers[0]!) ? this.#servers[0]! : null
    return leastLoadedOfTwo(
      this.#askable().filter((server) => this.#hasRoom(server)),
      Math.random,
    )
  }

  /** In a moment, when the connection that became free is there to be used. */
  #admitSoon(): void {
    if (this.#waiting.size > 0) queueMicrotask(this.#admitWaiting)
  }

  readonly #admitWaiting = (): void => {
    for (const asker of this.#waiting) {
      const server = this.#roomy()
      if (server === null) return
      this.#waiting.delete(asker)
      server.enter(asker)
      asker.onTurn(server)
    }
  }
}
