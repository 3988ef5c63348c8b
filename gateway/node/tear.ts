/** The end of an answer that did not come to its own: the client can tell that something is missing. */

import type { InboundRequest, InboundResponse } from './inbound.ts'

/**
 * Nothing more of the answer leaves. One that waits for its turn behind others takes them with it: Node would still send what it
 * has of it when its turn came, and then wait on the connection for an end that nobody writes.
 */
export function tear(request: InboundRequest, response: InboundResponse): void {
  if (response.destroyed) return
  const { socket } = response
  if (socket === null && request.httpVersion !== '2.0') request.socket.destroy()
  // To an HTTP/1.0 client the end of the connection is the end of the body, so only a reset says that it is not.
  if (request.httpVersion === '1.0' && socket !== null && 'resetAndDestroy' in socket) socket.resetAndDestroy()
  else response.destroy()
}
