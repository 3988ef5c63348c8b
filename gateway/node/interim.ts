/** Interim answers (RFC 9110 §15.2), each in its turn: they go out before any byte of the answer that they announce. */

import { ServerResponse } from 'node:http'
import type { InboundResponse } from './inbound.ts'

/**
 * Writes an interim answer now, or when the answers before it are out. Node itself would put it between the head and the body
 * of an answer that waits for its turn, and whoever reads that answer would lose the place where the next one begins.
 */
export function writeInterim(response: InboundResponse, write: () => void): void {
  if (response.headersSent || response.destroyed) return
  if (response.socket !== null) write()
  else if (response instanceof ServerResponse) {
    response.once('socket', () => {
      if (!response.headersSent) write()
    })
  }
}
