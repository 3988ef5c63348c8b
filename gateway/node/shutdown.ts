/** The end: nothing new is accepted, what is in flight finishes within a bound, and then nothing of it is left. */

import { writeSync } from 'node:fs'
import type { Server } from 'node:http'
import { inspect } from 'node:util'
import { Refusal } from '../model.ts'
import type { NodeJournal } from './journal.ts'
import type { OpenExchanges } from './open-exchanges.ts'
import type { OpenSockets } from './open-sockets.ts'

const CHECK_MS = 50
/** How long what was cut may take to be told so. */
const LAST_WORDS_MS = 500

const STOPPING = Object.freeze(new Refusal('gateway.stopping', { log: 'still open when the process ended' }))

/**
 * Resolves when no connection is open any more. Event streams and WebSockets have no end of their own, so they are told to
 * come back elsewhere at once; what else is open after `graceMs` is cut. Without `exchanges` the rest is ended at once.
 */
export async function closeServer(
  server: Server,
  upgraded: OpenSockets,
  exchanges: OpenExchanges | null,
  graceMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  if (exchanges === null) upgraded.destroyAll()
  for (const exchange of exchanges?.all() ?? []) exchange.leave()
  // A connection that is busy now turns idle after its answer, which the server does not watch for.
  const idle = setInterval(() => server.closeIdleConnections(), CHECK_MS)
  const timers = [
    setTimeout(() => {
      for (const exchange of exchanges?.all() ?? []) exchange.cut(STOPPING)
    }, graceMs),
    setTimeout(() => {
      upgraded.destroyAll()
      server.closeAllConnections()
    }, graceMs + LAST_WORDS_MS),
  ]
  try {
    await closed
  } finally {
    clearInterval(idle)
    for (const timer of timers) clearTimeout(timer)
  }
}

/** One Ctrl-C may arrive twice: from the terminal, and passed on by npm or by the process that watches over us. */
export const ECHO_MS = 500

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

/** What may be answered after a crash is answered within this. */
export const CRASH_GRACE_MS = 1_500
/** By then it is over, whatever still hangs. */
const CRASH_MS_MAX = 3_000
export const CRASH_EXIT_CODE = 70

/**
 * An error that nobody caught: what it left half done nobody knows, so the process says what it was, takes nothing new, and
 * ends. `close` must not reject.
 */
export function closeOnCrash(journal: NodeJournal, close: () => Promise<void>): void {
  let isCrashed = false
  const onCrash = (error: unknown) => {
    journal.fault('-', error)
    if (isCrashed) return
    isCrashed = true
    // At once and past every buffer: nothing that follows is sure to happen.
    try {
      writeSync(2, `postern: an error that nobody caught, so this process ends: ${inspect(error)}\n`)
    } catch {
      // Nobody reads it; the journal may still be read.
    }
    setTimeout(() => process.exit(CRASH_EXIT_CODE), CRASH_MS_MAX)
    void close().then(() => process.exit(CRASH_EXIT_CODE))
  }
  process.on('uncaughtException', onCrash)
  process.on('unhandledRejection', onCrash)
}
