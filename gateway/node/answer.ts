/** Writes answers of our own to a client: whole, with a length, and so that the client can read them. */

import { type OwnAnswer, Refusal, type Refused } from '../model.ts'
import { answerRefusal } from '../pipeline.ts'
import { problemAnswer } from '../problem/response.ts'
import { type Exchange, failedExchange } from './exchange.ts'
import type { InboundRequest, InboundResponse } from './inbound.ts'
import { drain } from './request-body.ts'
import { tear } from './tear.ts'

const BUG = Object.freeze(new Refusal('gateway.bug'))

/** The answer to a refused request. Even when composing it fails there is one: 503. */
export async function refusedAnswer(exchange: Exchange, refused: Refused): Promise<OwnAnswer> {
  const { snapshot, ports } = exchange.gateway
  try {
    return await answerRefusal(snapshot, ports, refused)
  } catch (error) {
    return bugAnswer(exchange, error)
  }
}

/** A bug is 503 and a line with its stack, never a pass. */
export function bugAnswer(exchange: Exchange, error: unknown): OwnAnswer {
  const { snapshot, ports } = exchange.gateway
  exchange.failure = BUG
  // What waits on its connection for a decision shall not wait for ever.
  exchange.outcome ??= failedExchange(exchange, BUG)
  ports.journal.fault(exchange.requestId, error)
  return problemAnswer(BUG, exchange.requestId, snapshot.origin, snapshot.ownHeaders)
}

/** Answers an exchange that had been allowed and then failed. */
export function answerFailure(
  exchange: Exchange,
  refusal: Refusal,
  request: InboundRequest,
  response: InboundResponse,
): void {
  if (endsConnection(refusal)) response.shouldKeepAlive = false
  const answered = refusedAnswer(exchange, failedExchange(exchange, refusal))
  void answered.then((own) => writeOwn(exchange, own, request, response))
}

/**
 * After a head that can be read in two ways nobody can say where the next one begins (RFC 9112 §6.3), and what is too long is not
 * read to its end.
 */
export function endsConnection({ reason }: Refusal): boolean {
  return reason.startsWith('head.') || reason === 'target.too-long' || reason === 'body.too-large'
}

/** Never throws: it is the last thing tried, and what it cannot write ends with the connection. */
export function writeOwn(exchange: Exchange, own: OwnAnswer, request: InboundRequest, response: InboundResponse): void {
  if (response.destroyed) return
  if (response.headersSent) return void tear(request, response)
  try {
    drain(request)
    response.writeHead(own.status, own.headers as string[])
    response.end(own.body)
  } catch (error) {
    exchange.gateway.ports.journal.fault(exchange.requestId, error)
    tear(request, response)
  }
}
