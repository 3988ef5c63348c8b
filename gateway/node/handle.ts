/** The life of one request on Node: decide, then our own endpoint, an upstream, or a refusal. Whatever happens is recorded once. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { Refusal } from '../model.ts'
import { decide } from '../pipeline.ts'
import { answerFailure, bugAnswer, refusedAnswer, writeOwn } from './answer.ts'
import { decideAgain, type Exchange, failedExchange, openExchange, recordExchange } from './exchange.ts'
import type { Gateway } from './gateway.ts'
import { serveOwn } from './own.ts'
import { newRequestId, rawHeadOf } from './raw-head.ts'
import { Relay } from './relay.ts'

/** Field lines in one head. Far beyond what browsers send; a bound on the work of one request. */
export const FIELD_LINES_MAX = 256

export const TOO_MANY_FIELDS = Object.freeze(
  new Refusal('head.too-large', { log: `more than ${FIELD_LINES_MAX} field lines` }),
)

/** Status recorded for a client that left before it was answered. */
const CLIENT_GONE = 499

/** `isContinueAsked`: the client waits for a 100 before it sends its body (RFC 9110 §10.1.1). */
export function handle(
  gateway: Gateway,
  request: IncomingMessage,
  response: ServerResponse,
  isContinueAsked: boolean,
): Exchange {
  const exchange = openExchange(gateway, newRequestId(), Date.now())
  let relay: Relay | null = null
  let isStarted = false
  response.on('close', () => {
    relay?.close(!response.writableFinished)
    if (isStarted) finish(exchange, response)
  })
  void run()
  return exchange

  async function run(): Promise<void> {
    try {
      relay = await start(exchange, request, response, isContinueAsked)
    } catch (error) {
      writeOwn(exchange, bugAnswer(exchange, error), request, response)
    }
    isStarted = true
    if (!response.destroyed) return
    relay?.close(!response.writableFinished)
    finish(exchange, response)
  }
}

/** Null unless an upstream is asked. */
async function start(
  exchange: Exchange,
  request: IncomingMessage,
  response: ServerResponse,
  isContinueAsked: boolean,
): Promise<Relay | null> {
  const { gateway } = exchange
  if (request.rawHeaders.length > FIELD_LINES_MAX * 2) {
    exchange.outcome = failedExchange(exchange, TOO_MANY_FIELDS)
    answerFailure(exchange, TOO_MANY_FIELDS, request, response)
    return null
  }
  const raw = rawHeadOf(request, exchange.requestId, exchange.receivedAtMs, false)
  let outcome = await decide(gateway.snapshot, gateway.ports, raw)
  exchange.outcome = outcome // at once: it may hold places
  // From here to the start of the relay nothing may be awaited.
  for (let times = 1; outcome.kind === 'forward' && !gateway.exchanges.isCurrent(outcome); times++) {
    outcome = await decideAgain(exchange, raw, outcome, times)
    exchange.outcome = outcome
  }
  if (response.destroyed) return null
  if (outcome.kind === 'refuse') {
    // RFC 9112 §6.3: after a head that can be read in two ways, nobody can say where the next one begins.
    if (outcome.refusal.reason.startsWith('head.')) response.shouldKeepAlive = false
    writeOwn(exchange, await refusedAnswer(exchange, outcome), request, response)
    return null
  }
  if (outcome.kind === 'preflight') {
    writeOwn(exchange, outcome.answer, request, response)
    return null
  }
  if (isContinueAsked) response.writeContinue()
  if (outcome.kind === 'own') {
    await serveOwn(exchange, outcome.head, request, response)
    return null
  }
  const relay = new Relay(exchange, outcome, request, response)
  relay.start()
  return relay
}

function finish(exchange: Exchange, response: ServerResponse): void {
  recordExchange(exchange, response.headersSent ? response.statusCode : CLIENT_GONE, !response.writableFinished)
}
