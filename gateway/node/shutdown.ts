/** The end: nothing new is accepted, what is in flight finishes within a bound, and then nothing of it is left. */

import type { Server } from 'node:http'
import type { OpenSockets } from './open-sockets.ts'

const GRACE_MS = 10_000
const CHECK_MS = 50

/** Resolves when no connection is open any more. WebSockets have no end of their own, so they end at once. */
export async function closeServer(server: Server, upgraded: OpenSockets): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  upgraded.destroyAll()
  // A connection that is busy now turns idle after its answer, which the server does not watch for.
  const idle = setInterval(() => server.closeIdleConnections(), CHECK_MS)
  const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS)
  try {
    await closed
  } finally {
    clearInterval(idle)
    clearTimeout(cut)
  }
}

/** One Ctrl-C may arrive twice: from the terminal, and passed on by npm. */
const ECHO_MS = 500

/** Closes on the first SIGINT or SIGTERM, and ends at once on the second. `close` must not reject. */
export function closeOnSignal(close: () => Promise<void>): void {
  let closingSinceMs: number | null = null
  const onSignal = (signal: 'SIGINT' | 'SIGTERM') => {
    if (closingSinceMs !== null) {
      if (performance.now() - closingSinceMs > ECHO_MS) process.exit(signal === 'SIGINT' ? 130 : 143)
      return
    }
    closingSinceMs = performance.now()
    void close().then(() => process.exit(0))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
}
