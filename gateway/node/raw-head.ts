/** A request as a RawHead: the parser's own list of field lines, in wire order, with nothing joined or dropped. */

import type { IncomingMessage } from 'node:http'
import { isNamed } from '../http/header-list.ts'
import type { RawHead } from '../model.ts'
import type { InboundRequest } from './inbound.ts'

export function rawHeadOf(
  request: InboundRequest,
  requestId: string,
  receivedAtMs: number,
  isUpgrade: boolean,
): RawHead {
  const { httpVersion } = request
  return {
    requestId,
    receivedAtMs,
    method: request.method ?? '',
    target: request.url ?? '',
    httpVersion: httpVersion === '1.0' || httpVersion === '2.0' ? httpVersion : '1.1',
    headers: request.rawHeaders,
    peerAddress: request.socket.remoteAddress ?? '',
    isUpgrade,
    isOpen: request.isOpen === true,
  }
}

/**
 * May this connection become a WebSocket? Only for GET over HTTP/1.1 with the one protocol `websocket` (RFC 6455 §4.1).
 * Every other Upgrade field, h2c among them, is served as the plain request that it also is (RFC 9110 §7.8).
 */
export function isWebSocketUpgrade(request: IncomingMessage): boolean {
  if (request.method !== 'GET' || request.httpVersion !== '1.1') return false
  let protocols = 0
  let isWebSocket = false
  const { rawHeaders } = request
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (!isNamed(rawHeaders[at]!, 'upgrade')) continue
    protocols++
    isWebSocket = rawHeaders[at + 1]!.trim().toLowerCase() === 'websocket'
  }
  return protocols === 1 && isWebSocket
}
