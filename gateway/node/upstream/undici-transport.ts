/** The transport of undici: TLS, and whatever our own client does not speak. One pool per server, never pipelined. */

import { Readable } from 'node:stream'
import { type Dispatcher, Pool } from 'undici'
import { socketPathOf } from '../../http/authority.ts'
import type { HeaderList } from '../../model.ts'
import { stopped } from '../upstream-failure.ts'
import { isFramedOnce, lengthOf } from './framing.ts'
import type { UpstreamTls } from './tls.ts'
import {
  HEAD_BYTES_MAX,
  KEEP_ALIVE_MS,
  type Transport,
  type TransportOptions,
  type UpstreamCall,
  type UpstreamHandler,
  type UpstreamRequest,
} from './transport.ts'

export function undiciTransport(
  origin: string,
  tls: UpstreamTls | null,
  { connectMs, lookup }: TransportOptions,
): Transport {
  const socketPath = socketPathOf(origin)
  const pool = new Pool(socketPath === null ? origin : 'http://localhost', {
    ...(socketPath === null ? {} : { socketPath }),
    // As many as there are requests under way, which are counted elsewhere.
    connections: null,
    pipelining: 1,
    allowH2: false,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: HEAD_BYTES_MAX,
    connect: { timeout: connectMs, ...(lookup === null ? {} : { lookup }), ...tls },
  })
  return {
    send(request, handler) {
      const call = new UndiciCall(request, handler)
      queueMicrotask(() => call.dispatch(pool, tls))
      return call
    },
    close: () => pool.close(),
    destroy: () => pool.destroy(),
  }
}

class UndiciCall implements UpstreamCall, Dispatcher.DispatchHandler {
  readonly #request: UpstreamRequest
  readonly #handler: UpstreamHandler
  readonly #body: Readable | null
  #controller: Dispatcher.DispatchController | null = null
  #isOver = false
  #isPaused = false

  constructor(request: UpstreamRequest, handler: UpstreamHandler) {
    this.#request = request
    this.#handler = handler
    this.#body = request.bodyBytes === 0 ? null : bodyStream(() => this.#isOver || handler.onWritable())
  }

  dispatch(pool: Pool, tls: UpstreamTls | null): void {
    if (this.#isOver) return
    const { method, path, headers, bodyBytes } = this.#request
    const framed = bodyBytes > 0 ? [...headers, 'Content-Length', String(bodyBytes)] : (headers as string[])
    const servername = tls === null ? {} : { servername: tls.servername }
    const body = this.#body
    try {
      pool.dispatch({ path, method, headers: framed, body, ...servername } as Dispatcher.DispatchOptions, this)
    } catch (error) {
      this.#fail(error)
    }
  }

  write(chunk: Buffer): boolean {
    return this.#body!.push(chunk)
  }

  end(): void {
    this.#body?.push(null)
  }

  pause(): void {
    this.#isPaused = true
    this.#controller?.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#controller?.resume()
  }

  abort(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#body?.destroy()
    this.#controller?.abort(ABORTED)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#isOver) return void controller.abort(ABORTED)
    this.#handler.onConnected(this)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: unknown): void {
    if (this.#isOver) return
    const lines = flatten(controller.rawHeaders, headers)
    if (status < 200) return void this.#handler.onInterim(status, lines)
    if (!isFramedOnce(lines)) {
      this.#fail(stopped('upstream.protocol', 'more than one framing of the body'))
      controller.abort(ABORTED)
      return
    }
    this.#handler.onHead(status, lines, lengthOf(this.#request.method, status, lines))
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isOver) this.#handler.onData(chunk, false)
    if (this.#isPaused && !this.#isOver) this.#controller?.pause()
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#handler.onEnd(flatten(controller.rawTrailers, {}))
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: unknown): void {
    this.#fail(error)
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#body?.destroy()
    this.#handler.onFailure(error instanceof Error ? error : new Error(String(error)))
  }
}

const ABORTED = stopped('client.gone', 'the exchange is over')

/** An upstream that fails destroys the stream it was sent; were that the client's, the client could not be answered any more. */
function bodyStream(onWritable: () => void): Readable {
  let isAsked = false
  const body = new Readable({
    read() {
      if (isAsked) onWritable()
      isAsked = true
    },
  })
  // Reasons arrive by other ways; an error event that nobody hears would end the process.
  body.on('error', () => {})
  return body
}

/** undici keeps an HTTP/1 head as a flat list of names and values; duplicates and spelling survive. */
function flatten(raw: unknown, parsed: unknown): HeaderList {
  const flat: string[] = []
  if (Array.isArray(raw)) {
    for (const part of raw as (Buffer | string)[]) flat.push(typeof part === 'string' ? part : part.toString('latin1'))
    return flat
  }
  for (const [name, value] of Object.entries(parsed as Record<string, string | string[]>)) {
    for (const each of Array.isArray(value) ? value : [value]) flat.push(name, each)
  }
  return flat
}
