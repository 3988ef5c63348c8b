/**
 * The end of a connection towards a client, in the order of RFC 9112 §9.6: our side first, and the rest once the client has
 * closed its own. A close with bytes unread is a reset, which takes from the client what it has not read of its answer.
 */

import type { Duplex } from 'node:stream'

/** How long a client may take to hang up once the last of its answer has been taken. */
export const LINGER_MS = 5_000

/** Nothing is written behind `last`; what the client still sends is read and dropped for a while. */
export function linger(socket: Duplex, last?: string): void {
  if (socket.destroyed || socket.writableEnded) return
  // Not before: a slow reader has the time of any other.
  socket.once('finish', () => {
    const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
    socket.once('close', () => clearTimeout(timer))
  })
  socket.end(last)
  dropInput(socket)
}

/** What still comes is for nobody: read, so that it does not pile up, and seen by no parser. */
export function dropInput(socket: Duplex): void {
  // First, for of a socket that its parser has paused only that parser knows.
  socket.resume()
  setImmediate(() => socket.removeAllListeners('data').on('data', ignore))
}

function ignore(): void {}
