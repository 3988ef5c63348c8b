/** The listener: node:http with its strict parser, every limit set by name, and an answer of ours for whatever the parser refuses. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Refusal } from '../model.ts'
import { answerFailure, refusedAnswer } from './answer.ts'
import { type Exchange, failedExchange, openExchange, recordExchange } from './exchange.ts'
import type { GatewaySource } from './gateway.ts'
import { handle } from './handle.ts'
import { endWith } from './raw-answer.ts'
import { isWebSocketUpgrade, newRequestId } from './raw-head.ts'
import { handleUpgrade } from './upgrade.ts'
import { codeOf } from './upstream-failure.ts'

const HEAD_BYTES_MAX = 32 * 1024
const HEAD_TIMEOUT_MS = 15_000
/** A long upload may take this long; one that stalls is ended by its route's own time-out. */
const REQUEST_TIMEOUT_MS = 3_600_000
/** Longer than the 60 s of common load balancers, so that they close idle connections and not we. */
const KEEP_ALIVE_MS = 65_000
const CHECK_CONNECTIONS_MS = 5_000

const METHOD_REFUSED = Object.freeze(new Refusal('method.refused'))
const EXPECT_UNKNOWN = Object.freeze(new Refusal('expect.unknown'))

/** What a socket is busy with: the newest exchange on it. */
interface Current {
  readonly exchange: Exchange
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

export function createGatewayServer(source: GatewaySource): Server {
  const busy = new WeakMap<Duplex, Current>()
  const declined = new WeakSet<IncomingMessage>()
  const ending = new WeakSet<Duplex>()
  const server = createServer({
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: HEAD_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: CHECK_CONNECTIONS_MS,
    noDelay: true,
    insecureHTTPParser: false,
    optimizeEmptyRequests: true,
    // `admit` answers this itself, for every runtime alike.
    requireHostHeader: false,
    shouldUpgradeCallback(request) {
      // While another answer is due on this connection, a 101 would be taken for it.
      if (isWebSocketUpgrade(request) && !isAnswerDue(busy.get(request.socket))) return true
      declined.add(request)
      return false
    },
  })
  // The parser would drop further lines in silence; the head's bytes and FIELD_LINES_MAX bound them instead.
  server.maxHeadersCount = 0

  const serve = (request: IncomingMessage, response: ServerResponse, isContinueAsked: boolean) => {
    if (ending.has(request.socket)) return
    if (declined.has(request)) {
      // The parser drops what came in one piece with such a head, so what follows on this connection begins anywhere:
      // it ends with this answer, and nothing more on it is taken for a request.
      ending.add(request.socket)
      response.shouldKeepAlive = false
    }
    const exchange = handle(source.current, request, response, isContinueAsked)
    busy.set(request.socket, { exchange, request, response })
  }
  server.on('request', (request, response) => serve(request, response, false))
  server.on('checkContinue', (request, response) => serve(request, response, true))
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const exchange = refuse(source, EXPECT_UNKNOWN)
    response.on('close', () => recordExchange(exchange, response.statusCode, !response.writableFinished))
    answerFailure(exchange, EXPECT_UNKNOWN, request, response)
    busy.set(request.socket, { exchange, request, response })
  })
  server.on('upgrade', (request, socket, head) => void handleUpgrade(source.current, request, socket as Socket, head))
  server.on('connect', (_request, socket) => {
    if (isAnswerDue(busy.get(socket))) socket.destroy()
    else void refuseSocket(source, socket, METHOD_REFUSED)
  })
  server.on('clientError', (error, socket) => onClientError(source, busy.get(socket), error, socket))
  return server
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
  if (!socket.writable || codeOf(error) === 'ECONNRESET') return void socket.destroy()
  const refusal = refusalOfParser(error)
  if (!isAnswerDue(current)) return void refuseSocket(source, socket, refusal)
  const { exchange, request, response } = current
  if (request.complete) {
    // The request before these bytes is whole: it gets its answer, and then the connection ends.
    response.shouldKeepAlive = false
    response.once('close', () => socket.destroy())
  } else if (response.headersSent || response.socket === null) {
    socket.destroy()
  } else {
    exchange.failure = refusal
    void refusedAnswer(exchange, failedExchange(exchange, refusal)).then((own) => endWith(socket, own))
  }
}

function refusalOfParser(error: Error): Refusal {
  const code = codeOf(error)
  if (code === 'HPE_HEADER_OVERFLOW') return new Refusal('head.too-large', { log: code })
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Refusal('head.timeout', { log: code })
  const isFraming = code.includes('CONTENT_LENGTH') || code.includes('TRANSFER_ENCODING') || code.includes('CHUNK')
  return new Refusal(isFraming ? 'head.framing' : 'head.malformed', { log: code })
}

function ignore(): void {}
