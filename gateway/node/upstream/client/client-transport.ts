/**
 * The transport of our own: HTTP/1.1 without TLS, over TCP or a Unix socket. Connections are kept for the next request, the one
 * used last first; what finds none has one opened, and takes whichever is there first. How many there may be is the business of
 * whoever counts requests. One coarse sweep keeps all times.
 */

import type { LookupFunction } from 'node:net'
import { socketPathOf } from '../../../http/authority.ts'
import { placeOf } from '../connect.ts'
import {
  KEEP_ALIVE_MS,
  type Transport,
  type TransportOptions,
  type UpstreamCall,
  type UpstreamHandler,
  type UpstreamRequest,
} from '../transport.ts'
import { ClientCall, tell } from './client-call.ts'
import { type ClientTarget, Connection, type ConnectionOwner } from './connection.ts'
import { closed, connectTimeout } from './failure.ts'
import { requestHead } from './request-head.ts'

/** A server that says how long it waits closes then, and its word was on the way for a while. */
const KEEP_ALIVE_MARGIN_MS = 1_000
const SWEEP_MS = 500

export class ClientTransport implements Transport, ConnectionOwner {
  readonly #target: ClientTarget
  readonly #host: string
  readonly #lookup: LookupFunction | undefined
  readonly #connectMs: number
  readonly #connections = new Set<Connection>()
  /** The one freed last stands last. */
  readonly #free: Connection[] = []
  readonly #waiting = new Set<ClientCall>()
  #connecting = 0
  #isClosed = false
  #timer: NodeJS.Timeout | null = null
  #onIdle: (() => void) | null = null

  constructor(target: ClientTarget, { connectMs, lookup }: Pick<TransportOptions, 'connectMs' | 'lookup'>) {
    this.#target = target
    this.#host = hostOf(target)
    this.#lookup = lookup ?? undefined
    this.#connectMs = connectMs
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const head = requestHead(request, this.#host)
    if (head instanceof Error) return refused(request, handler, head)
    if (this.#isClosed) return refused(request, handler, closed())
    const connection = this.#take()
    const call = new ClientCall(request, handler, head)
    if (connection !== null) connection.start(call)
    else {
      call.queue = this.#waiting
      this.#waiting.add(call)
      this.#connect()
    }
    return call
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const connection of this.#free.splice(0)) connection.socket.destroy()
    await this.#gone()
  }

  async destroy(): Promise<void> {
    this.#isClosed = true
    for (const call of this.#waiting) this.#leaveQueue(call).handler.onFailure(closed())
    for (const connection of this.#connections) connection.socket.destroy(closed())
    await this.#gone()
  }

  onConnected(connection: Connection): void {
    this.#connecting--
    this.#serve(connection, -1)
  }

  onFree(connection: Connection, keepAliveMs: number): void {
    this.#serve(connection, keepAliveMs)
  }

  onGone(connection: Connection, error: Error | null): void {
    this.#connections.delete(connection)
    const at = this.#free.indexOf(connection)
    if (at >= 0) this.#free.splice(at, 1)
    if (!connection.isConnected) {
      this.#connecting--
      // Each attempt that fails costs one request, so that a dead server is not tried for ever.
      const call = this.#next()
      call?.handler.onFailure(error ?? closed())
    }
    this.#connect()
    if (this.#connections.size > 0) return
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#onIdle?.()
  }

  #take(): Connection | null {
    if (this.#free.length === 0) return null
    const nowMs = performance.now()
    for (let last = this.#free.pop(); last !== undefined; last = this.#free.pop()) {
      if (last.idleUntilMs > nowMs && !last.socket.destroyed) return last
      last.socket.destroy()
    }
    return null
  }

  #serve(connection: Connection, keepAliveMs: number): void {
    const call = this.#next()
    if (call !== null) return void connection.start(call)
    const idleMs = keepAliveMs < 0 ? KEEP_ALIVE_MS : Math.min(KEEP_ALIVE_MS, keepAliveMs - KEEP_ALIVE_MARGIN_MS)
    if (this.#isClosed) return void connection.socket.destroy()
    connection.idleUntilMs = performance.now() + idleMs
    this.#free.push(connection)
  }

  #next(): ClientCall | null {
    for (const call of this.#waiting) return this.#leaveQueue(call)
    return null
  }

  #leaveQueue(call: ClientCall): ClientCall {
    this.#waiting.delete(call)
    call.queue = null
    return call
  }

  #connect(): void {
    while (this.#connecting < this.#waiting.size) {
      this.#connecting++
      this.#connections.add(new Connection(this.#target, this.#lookup, this, performance.now()))
      this.#timer ??= setInterval(() => this.#sweep(performance.now()), SWEEP_MS).unref()
    }
  }

  #sweep(nowMs: number): void {
    for (const connection of this.#connections) {
      if (connection.isConnected) connection.flush()
      else if (nowMs - connection.openedAtMs >= this.#connectMs)
        connection.socket.destroy(connectTimeout(this.#connectMs))
    }
    for (const connection of this.#free) if (connection.idleUntilMs <= nowMs) connection.socket.destroy()
  }

  #gone(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const others = this.#onIdle
      this.#onIdle = () => {
        others?.()
        resolve()
      }
    })
  }
}

function hostOf(target: ClientTarget): string {
  if ('path' in target) return 'localhost'
  const host = target.host.includes(':') ? `[${target.host}]` : target.host
  return target.port === 80 ? host : `${host}:${target.port}`
}

/** Null for what this client does not speak. */
export function clientTargetOf(origin: string): ClientTarget | null {
  return socketPathOf(origin) !== null || origin.startsWith('http:') ? placeOf(origin) : null
}

/** A call that was over before it began; its handler hears of it after the return. */
function refused(request: UpstreamRequest, handler: UpstreamHandler, error: Error): UpstreamCall {
  const call = new ClientCall(request, handler, '')
  call.isOver = true
  process.nextTick(tell, call, error)
  return call
}
