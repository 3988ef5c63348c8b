/** The life of one request on Node: decide, then our own endpoint, an upstream, or a refusal. Whatever happens is recorded once. */

import { Refusal } from '../model.ts'
import { decide } from '../pipeline.ts'
import { answerFailure, bugAnswer, endsConnection, refusedAnswer, writeOwn } from './answer.ts'
import { decideAgain, type Exchange, failedExchange, openExchange, recordExchange } from './exchange.ts'
import type { Gateway } from './gateway.ts'
import type { InboundRequest, InboundResponse } from './inbound.ts'
import { writeInterim } from './interim.ts'
import { serveOwn } from './own.ts'
import { rawHeadOf } from './raw-head.ts'
import { Relay } from './relay.ts'
import { newRequestId } from './request-id.ts'

/** Field lines in one head. Far beyond what browsers send; a bound on the work of one request. */
const FIELD_LINES_MAX = 256

const TOO_MANY_FIELDS = Object.freeze(
  new Refusal('head.too-large', { log: `more than ${FIELD_LINES_MAX} field lines` }),
)

/** Status recorded for a client that left before it was answered. */
export const CLIENT_GONE = 499

/** `isContinueAsked`: the client waits for a 100 before it sends its body (RFC 9110 §10.1.1). */
export function handle(
  gateway: Gateway,
  request: InboundRequest,
  response: InboundResponse,
  isContinueAsked: boolean,
): Exchange {
  const exchange = openExchange(gateway, newRequestId(), Date.now())
  let relay: Relay | null = null
  let isStarted = false
  response.on('close', () => {
    relay?.close(!response.writableFinished)
    if (isStarted) finish(exchange, response)
  })
  exchange.started = run()
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
  request: InboundRequest,
  response: InboundResponse,
  isContinueAsked: boolean,
): Promise<Relay | null> {
  const { gateway } = exchange
  const place = gateway.pressure.enter(gateway.snapshot.admission, request)
  const excess = place instanceof Refusal ? place : excessOf(request)
  if (!(place instanceof Refusal)) exchange.place = place
  if (excess !== null) {
    exchange.outcome = failedExchange(exchange, excess)
    answerFailure(exchange, excess, request, response)
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
    if (endsConnection(outcome.refusal)) response.shouldKeepAlive = false
    writeOwn(exchange, await refusedAnswer(exchange, outcome), request, response)
    return null
  }
  if (outcome.kind === 'preflight') {
    writeOwn(exchange, outcome.answer, request, response)
    return null
  }
  if (isContinueAsked) writeInterim(response, () => response.writeContinue())
  if (outcome.kind === 'own') {
    await serveOwn(exchange, outcome.head, request, response)
    return null
  }
  const relay = new Relay(exchange, outcome, request, response)
  relay.start()
  return relay
}

export function excessOf({ rawHeaders }: Pick<InboundRequest, 'rawHeaders'>): Refusal | null {
  return rawHeaders.length > FIELD_LINES_MAX * 2 ? TOO_MANY_FIELDS : null
}

function finish(exchange: Exchange, response: InboundResponse): void {
  recordExchange(exchange, response.headersSent ? response.statusCode : CLIENT_GONE, !response.writableFinished)
}
