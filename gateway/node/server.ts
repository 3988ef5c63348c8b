/** The listener: node:http with its strict parser, every limit set by name, and an answer of ours for whatever the parser refuses. */

import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Refusal } from '../model.ts'
import { problemAnswer } from '../problem/response.ts'
import { answerFailure, refusedAnswer } from './answer.ts'
import { type Exchange, failedExchange, openExchange, recordExchange } from './exchange.ts'
import type { GatewaySource } from './gateway.ts'
import { handle } from './handle.ts'
import { SecureServer } from './http2/secure-server.ts'
import { LeanRequest } from './lean-request.ts'
import { dropInput, linger } from './linger.ts'
import { capConnections } from './pressure/connection-caps.ts'
import { endWith } from './raw-answer.ts'
import { isWebSocketUpgrade } from './raw-head.ts'
import { newRequestId } from './request-id.ts'
import type { ServerTls } from './tls-files.ts'
import { handleUpgrade } from './upgrade.ts'
import { codeOf } from './upstream-failure.ts'

const HEAD_BYTES_MAX = 32 * 1024
/** A long upload may take this long; one that stalls is ended by its route's own time-out. */
const REQUEST_TIMEOUT_MS = 3_600_000
/** Longer than the 60 s of common load balancers, so that they close idle connections and not we. */
const KEEP_ALIVE_MS = 65_000
const CHECK_CONNECTIONS_MS = 1_000
/** Connections at once that are told why they are refused. */
const LINGERING_MAX = 64

const METHOD_REFUSED = Object.freeze(new Refusal('method.refused'))
const ADDRESS_BUSY = Object.freeze(new Refusal('gateway.busy', { retryAfterMs: 1000 }))
/** The parser lets HTTP/0.9 and HTTP/2.0 stand in a request line, and reads what follows as HTTP/1.1 all the same. */
const VERSION_REFUSED = Object.freeze(new Refusal('head.malformed', { log: 'no version of HTTP/1' }))
const NOT_TLS = Object.freeze(
  new Refusal('head.malformed', { log: 'plain HTTP to a port of TLS', detail: 'This port speaks TLS: use https.' }),
)
const EXPECT_UNKNOWN = Object.freeze(new Refusal('expect.unknown'))

/** What a socket is busy with: the newest exchange on it. */
interface Current {
  readonly exchange: Exchange
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

const CURRENT = Symbol('current')

/** Kept on the socket itself: each request asks, and a WeakMap has the collector look at every entry. */
interface Carrier extends Duplex {
  [CURRENT]?: Current
}

function currentOf(socket: Duplex): Current | undefined {
  return (socket as Carrier)[CURRENT]
}

/** Speaks TLS, and then HTTP/2 too, where there is something to show. */
export function createGatewayServer(source: GatewaySource, tls: ServerTls | null = null): Server {
  const declined = new WeakSet<IncomingMessage>()
  /** Answers on a socket that had others before them. */
  const queued = new WeakMap<Duplex, Set<ServerResponse>>()
  /** How many requests on a socket wait for the one before them. */
  const waiting = new WeakMap<Duplex, number>()
  const options: ServerOptions = {
    IncomingMessage: LeanRequest,
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: source.current.pressure.limits.headTimeoutMs,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: CHECK_CONNECTIONS_MS,
    noDelay: true,
    insecureHTTPParser: false,
    optimizeEmptyRequests: true,
    // `admit` answers this itself, for every runtime alike.
    requireHostHeader: false,
    shouldUpgradeCallback(request) {
      // While another answer is due on this connection, a 101 would be taken for it; behind its last one there is none.
      const before = currentOf(request.socket)?.response
      const isFree = before === undefined || (before.closed && before.shouldKeepAlive)
      if (isFree && isWebSocketUpgrade(request)) return true
      declined.add(request)
      return false
    },
  }
  const server =
    tls === null
      ? createServer(options)
      : new SecureServer(
          options,
          tls,
          (request, response, isContinueAsked) => void handle(source.current, request, response, isContinueAsked),
          (socket) => void refuseSocket(source, socket, NOT_TLS),
        )
  // The parser would drop further lines in silence; the head's bytes and FIELD_LINES_MAX bound them instead.
  server.maxHeadersCount = 0
  const { connections: counts } = source.current.pressure
  const open = capConnections(server, () => limitsOf(source, server), refuseConnection, counts)
  server.on(tls === null ? 'connection' : 'secureConnection', endsWhole)
  let lingeringCount = 0

  const become = (current: Current) => {
    const { socket } = current.request
    if (isAnswerDue(currentOf(socket))) lineUp(current.response, socket)
    ;(socket as Carrier)[CURRENT] = current
  }
  const lineUp = (response: ServerResponse, socket: Socket) => {
    const line = queued.get(socket) ?? new Set()
    queued.set(socket, line.add(response))
    response.once('close', () => line.delete(response))
  }
  /** In its turn: what an earlier request leads to may be that this one is not served at all. */
  const serve = (request: IncomingMessage, response: ServerResponse, how: 'plain' | 'continue' | 'unknown-expect') => {
    const before = currentOf(request.socket)
    if (before !== undefined) {
      // Behind an answer that is the last one nothing is taken for a request (RFC 9112 §9.6).
      if (!before.response.shouldKeepAlive) return dropInput(request.socket)
      // One that is not decided yet may turn out to be the last.
      const { outcome, started } = before.exchange
      if (outcome === null && started !== null) return serveAfter(started, request, response, how)
    }
    if (request.httpVersion !== '1.1' && request.httpVersion !== '1.0') {
      response.shouldKeepAlive = false
      return refuseRequest(VERSION_REFUSED, request, response)
    }
    if (how === 'unknown-expect') return refuseRequest(EXPECT_UNKNOWN, request, response)
    // The parser drops what came in one piece with such a head, so what follows on this connection begins anywhere.
    if (declined.has(request)) response.shouldKeepAlive = false
    if (source.current.ending.isBegun) response.shouldKeepAlive = false
    const exchange = handle(source.current, request, response, how === 'continue')
    become({ exchange, request, response })
  }
  /** Nothing more is read meanwhile. */
  const serveAfter = (
    started: Promise<void>,
    request: IncomingMessage,
    response: ServerResponse,
    how: Parameters<typeof serve>[2],
  ) => {
    const { socket } = request
    const count = waiting.get(socket) ?? 0
    waiting.set(socket, count + 1)
    // Later in this turn, for the parser lets its socket go on at the end of each request.
    if (count === 0) setImmediate(() => waiting.get(socket) !== 0 && socket.pause())
    void started.then(() => {
      waiting.set(socket, waiting.get(socket)! - 1)
      if (socket.destroyed) return
      serve(request, response, how)
      if (waiting.get(socket) === 0 && currentOf(socket)!.response.shouldKeepAlive) socket.resume()
    })
  }
  const refuseRequest = (refusal: Refusal, request: IncomingMessage, response: ServerResponse) => {
    const exchange = refuse(source, refusal)
    response.on('close', () => recordExchange(exchange, response.statusCode, !response.writableFinished))
    answerFailure(exchange, refusal, request, response)
    become({ exchange, request, response })
  }
  server.on('request', (request, response) => serve(request, response, 'plain'))
  server.on('checkContinue', (request, response) => serve(request, response, 'continue'))
  server.on('checkExpectation', (request, response) => serve(request, response, 'unknown-expect'))
  server.on('upgrade', (request, socket, head) => void handleUpgrade(source.current, request, socket as Socket, head))
  server.on('connect', (_request, socket) => {
    if (socket.writableEnded) return
    if (!isAnswerDue(currentOf(socket))) return void refuseSocket(source, socket, METHOD_REFUSED)
    // Node has let go of this connection, and tells those that wait on it nothing any more.
    for (const response of queued.get(socket) ?? []) response.destroy()
    socket.destroy()
  })
  server.on('clientError', (error, socket) => onClientError(source, currentOf(socket), error, socket))
  source.current.ending.onBegin(() => {
    for (const socket of open) {
      const response = currentOf(socket)?.response
      if (response?.headersSent === false) response.shouldKeepAlive = false
    }
    if (server instanceof SecureServer) server.endSessions()
  })
  return server

  /** Said to a few at a time, for it keeps a connection a while; the rest is closed. */
  function refuseConnection(socket: Socket): void {
    // Where TLS is awaited nothing else can be said.
    if (tls !== null || lingeringCount >= LINGERING_MAX) return void socket.destroy()
    lingeringCount++
    socket.on('error', ignore)
    socket.once('close', () => lingeringCount--)
    const { origin, ownHeaders } = source.current.snapshot
    endWith(socket, problemAnswer(ADDRESS_BUSY, newRequestId(), origin, ownHeaders))
  }
}

/** Read at each connection: a reload changes them. */
function limitsOf({ current }: GatewaySource, server: Server) {
  const { connectionsMax, connectionsPerAddressMax, headTimeoutMs } = current.pressure.limits
  server.headersTimeout = headTimeoutMs
  const { isTrusted } = current.snapshot.admission
  return { connectionsMax, perAddressMax: connectionsPerAddressMax, isTrusted }
}

/** Node would destroy the socket as soon as the last answer of its connection is out. */
function endsWhole(socket: Socket): void {
  socket.destroySoon = () => linger(socket)
}

function isAnswerDue(current: Current | undefined): current is Current {
  return current !== undefined && !current.response.closed
}

function refuse(source: GatewaySource, refusal: Refusal): Exchange {
  const exchange = openExchange(source.current, newRequestId(), Date.now())
  exchange.outcome = failedExchange(exchange, refusal)
  return exchange
}

/** A refusal where there is no response to write to: bytes, and the end of the connection. */
async function refuseSocket(source: GatewaySource, socket: Duplex, refusal: Refusal): Promise<void> {
  const exchange = refuse(source, refusal)
  socket.on('error', ignore)
  const own = await refusedAnswer(exchange, failedExchange(exchange, refusal))
  endWith(socket, own)
  recordExchange(exchange, own.status, false)
}

/**
 * The parser gave up on this connection, so nothing after these bytes can be told apart and the connection must end.
 * An answer of ours is written only where no other answer is due first: else it would be taken for that one.
 */
function onClientError(source: GatewaySource, current: Current | undefined, error: Error, socket: Duplex): void {
  if (socket.writableEnded) return
  if (!socket.writable || codeOf(error) === 'ECONNRESET' || isHandshakeFault(error)) return void socket.destroy()
  const refusal = refusalOfParser(error)
  if (!isAnswerDue(current)) return void refuseSocket(source, socket, refusal)
  const { exchange, request, response } = current
  if (request.complete) {
    // The request before these bytes is whole: it gets its answer, and then the connection ends.
    response.shouldKeepAlive = false
    dropInput(socket)
    // Its head may have left already, and promised more.
    response.once('close', () => linger(socket))
  } else if (response.headersSent || response.socket === null) {
    socket.destroy()
  } else {
    response.shouldKeepAlive = false
    exchange.failure = refusal
    void refusedAnswer(exchange, failedExchange(exchange, refusal)).then((own) => {
      // Meanwhile it may have been answered: one request, one answer.
      if (!response.headersSent) endWith(socket, request.method === 'HEAD' ? { ...own, body: '' } : own)
    })
  }
}

/** There is no TLS to answer in. */
function isHandshakeFault(error: Error): boolean {
  const code = codeOf(error)
  return code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO'
}

function refusalOfParser(error: Error): Refusal {
  const code = codeOf(error)
  if (code === 'HPE_HEADER_OVERFLOW') return new Refusal('head.too-large', { log: code })
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Refusal('head.timeout', { log: code })
  const isFraming = code.includes('CONTENT_LENGTH') || code.includes('TRANSFER_ENCODING') || code.includes('CHUNK')
  return new Refusal(isFraming ? 'head.framing' : 'head.malformed', { log: code })
}

function ignore(): void {}
