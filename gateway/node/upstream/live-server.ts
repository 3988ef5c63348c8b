/** One server of an upstream as it stands now: what is under way there, how it has fared, and the connections to it. */

import type { Upstream } from '../../rules.ts'
import { Ejection } from './ejection.ts'
import { type HealthWatch, watchHealth } from './health.ts'
import { hostnameOf, type NameWatch, watchName } from './name-watch.ts'
import { openTransport, tlsOf } from './open-transport.ts'
import type { UpstreamTls } from './tls.ts'
import type { Transport, TransportOptions, UpstreamCall, UpstreamHandler, UpstreamRequest } from './transport.ts'

export interface ServerDeps extends Pick<TransportOptions, 'lookup' | 'isClientOurs'> {
  /** How often names are looked up; absent, often enough. */
  readonly lookMs: number | undefined
  readonly upstream: Upstream
  readonly origin: string
  /** Only for who began with another policy: it goes as soon as nothing is under way there. */
  readonly isLate: boolean
  /** May this one be left alone, or are as many already as may be? */
  readonly mayEject: () => boolean
  /** A place has become free, or the server is well again. */
  readonly onFree: () => void
  /** It was retired, and nothing is under way there any more. */
  readonly onGone: (server: LiveServer) => void
  readonly tell: (note: string) => void
  readonly monotonicMs: () => number
}

export class LiveServer {
  readonly origin: string
  readonly tls: UpstreamTls | null
  weight = 1
  /** Requests sent and not over. */
  underWay = 0
  /** Of all times. */
  requests = 0
  readonly #deps: ServerDeps
  #upstream: Upstream
  #transport: Transport
  /** Of before a change of address: they go when their requests are over. */
  readonly #leaving = new Set<Transport>()
  #ejection: Ejection | null = null
  #health: HealthWatch | null = null
  #names: NameWatch | null = null
  #isRetired: boolean
  #isGone = false

  constructor(deps: ServerDeps) {
    this.#deps = deps
    this.#upstream = deps.upstream
    this.origin = deps.origin
    this.#isRetired = deps.isLate
    this.tls = tlsOf(deps.upstream, deps.origin)
    this.#transport = this.#open()
    const hostname = deps.isLate ? null : hostnameOf(deps.origin)
    if (hostname !== null) this.#names = watchName(hostname, deps.lookup, () => this.#renew(), deps.lookMs)
  }

  /** Its connections are closed, or about to be. */
  get isGone(): boolean {
    return this.#isGone
  }

  /** By its health checks. */
  get isDown(): boolean {
    return this.#health?.isDown === true
  }

  /** Left alone for a while, for it failed. */
  get isEjected(): boolean {
    return this.#ejection?.isOut === true
  }

  get isUp(): boolean {
    return !this.isDown && !this.isEjected
  }

  /** Takes up what the policy in force says; what is known stays where it still means the same. Without a `host` it is not asked how it is. */
  follow(upstream: Upstream, weight: number, host: string | null): void {
    const isFirst = this.#health === null && this.#ejection === null
    const before = this.#upstream
    this.#upstream = upstream
    this.weight = weight
    if (isFirst || !isSame(before.ejection, upstream.ejection)) this.#watchFailures()
    if (isFirst || !isSame(before.health, upstream.health) || host !== this.#health?.host) this.#watchHealth(host)
  }

  #watchFailures(): void {
    const { tell, mayEject, onFree, monotonicMs } = this.#deps
    const { ejection: rule, id } = this.#upstream
    const onChange = (isOut: boolean) => {
      tell(
        `upstream ${id}: ${this.origin} ${isOut ? 'fails again and again and is left alone for a while' : 'is back'}`,
      )
      if (!isOut) onFree()
    }
    this.#ejection = rule === null ? null : new Ejection({ rule, mayEject, onChange, monotonicMs })
  }

  #watchHealth(host: string | null): void {
    const { tell, onFree } = this.#deps
    const { health: rule, id } = this.#upstream
    this.#health?.close()
    this.#health = null
    if (rule === null || host === null) return
    this.#health = watchHealth({
      rule,
      host,
      send: (request, handler) => this.#transport.send(request, handler),
      onChange: (why) => {
        tell(`upstream ${id}: ${this.origin} ${why === null ? 'is well again' : `is down: ${why}`}`)
        if (why === null) onFree()
      },
    })
  }

  /** Is it time for somebody to try one that was left alone? Who is told yes is expected to. */
  mayProbe(): boolean {
    return !this.isDown && this.#ejection?.mayProbe() === true
  }

  /** Takes a place. */
  enter(asker: object): void {
    this.underWay += 1
    this.requests += 1
    this.#ejection?.enter(asker)
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    return this.#transport.send(request, handler)
  }

  /** It began to answer, whatever the answer. */
  succeeded(asker: object): void {
    this.#ejection?.succeeded(asker)
  }

  /** It could not be reached, or broke off or stayed silent before its answer. */
  failed(asker: object): void {
    this.#ejection?.failed(asker)
  }

  /** Gives the place back, once. */
  leave(asker: object): void {
    this.underWay -= 1
    this.#ejection?.leave(asker)
    if (this.#isRetired && this.underWay === 0) this.#go()
    else this.#deps.onFree()
  }

  /** Nobody chooses it any more: what is under way there finishes. */
  retire(): void {
    this.#isRetired = true
    this.#stopWatching()
    if (this.underWay === 0) this.#go()
  }

  #go(): void {
    this.#isGone = true
    void this.close().finally(() => this.#deps.onGone(this))
  }

  /** Waits for requests under way. */
  async close(): Promise<void> {
    this.#stopWatching()
    await Promise.all(this.#all().map((transport) => transport.close()))
  }

  /** Ends requests under way. */
  async destroy(): Promise<void> {
    this.#stopWatching()
    await Promise.all(this.#all().map((transport) => transport.destroy()))
  }

  #stopWatching(): void {
    this.#health?.close()
    this.#health = null
    this.#names?.close()
    this.#names = null
  }

  #all(): readonly Transport[] {
    return [this.#transport, ...this.#leaving]
  }

  #open(): Transport {
    const { upstream, lookup, isClientOurs } = this.#deps
    return openTransport(upstream, this.origin, { connectMs: upstream.connectMs, lookup, isClientOurs })
  }

  /** The name means other addresses now, so no connection to the old ones is used again. */
  #renew(): void {
    const before = this.#transport
    this.#transport = this.#open()
    this.#leaving.add(before)
    void before.close().finally(() => this.#leaving.delete(before))
  }
}

function isSame(one: object | null, other: object | null): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
