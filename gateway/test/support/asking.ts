/** A request through a transport, with everything its handler was told. */

import type { HeaderList } from '../../model.ts'
import type { Transport, UpstreamCall, UpstreamHandler, UpstreamRequest } from '../../node/upstream/transport.ts'
import { until } from './until.ts'

export class Asking implements UpstreamHandler {
  readonly events: string[] = []
  call: UpstreamCall | null = null
  status = 0
  headers: HeaderList = []
  trailers: HeaderList = []
  lengthBytes = Number.NaN
  body = ''
  error: (Error & { code?: string }) | null = null
  isEnded = false
  /** What a test does when something happens. */
  readonly #on: Partial<Record<string, (asking: Asking) => void>>

  constructor(on: Partial<Record<string, (asking: Asking) => void>> = {}) {
    this.#on = on
  }

  onConnected(call: UpstreamCall): void {
    this.call = call
    this.#told('connected')
  }

  onInterim(status: number, headers: HeaderList): void {
    this.#told(`interim ${[status, ...headers].join(' ')}`, 'interim')
  }

  onHead(status: number, headers: HeaderList, lengthBytes: number): void {
    this.status = status
    this.headers = headers
    this.lengthBytes = lengthBytes
    this.#told('head')
  }

  onData(chunk: Buffer): void {
    this.body += chunk.toString('latin1')
    this.#told('data')
  }

  onEnd(trailers: HeaderList): void {
    this.trailers = trailers
    this.isEnded = true
    this.#told('end')
  }

  onFailure(error: Error): void {
    this.error = error
    this.isEnded = true
    this.#told('failure')
  }

  onWritable(): void {
    this.#told('writable')
  }

  ended(): Promise<void> {
    return until(() => this.isEnded, `an end; told: ${this.events}`)
  }

  #told(event: string, kind = event): void {
    this.events.push(event)
    this.#on[kind]?.(this)
  }
}

export const GET: UpstreamRequest = { method: 'GET', path: '/', headers: ['Host', 'up.test'], bodyBytes: 0 }

export function begin(transport: Transport, request: Partial<UpstreamRequest>, asking = new Asking()): Asking {
  asking.call = transport.send({ ...GET, ...request }, asking)
  return asking
}

/** Resolves when it is over, one way or the other. */
export async function ask(transport: Transport, request: Partial<UpstreamRequest> = {}): Promise<Asking> {
  const asking = begin(transport, request)
  await asking.ended()
  return asking
}
