/** How an exchange over a connection of ours fails, in codes that `refusalOf` and `isStaleConnection` understand. */

import { codeOf, stopped } from '../../upstream-failure.ts'
import type { Fault } from './response-head.ts'

/** Not a byte of an answer had come: the one case in which asking again may be right. */
export function unanswered(cause: Error | null): Error {
  const code = codeOf(cause)
  return coded(
    code === '' ? 'ECONNRESET' : code,
    cause?.message ?? 'the server closed the connection before it answered',
    cause,
  )
}

export function torn(cause: Error | null): Error {
  return coded('ERR_UPSTREAM_TORN', 'the connection ended before the answer did', cause)
}

export function misread(fault: Fault): Error {
  return stopped('upstream.protocol', fault)
}

export function connectTimeout(timeoutMs: number): Error {
  return coded('ETIMEDOUT', `no connection within ${timeoutMs} ms`, null)
}

export function closed(): Error {
  return coded('ERR_UPSTREAM_CLOSED', 'the connections to this server are closed', null)
}

export function wrongLength(): Error {
  return stopped('gateway.bug', 'a body of another length than its head says')
}

function coded(code: string, message: string, cause: Error | null): Error {
  return Object.assign(cause === null ? new Error(message) : new Error(message, { cause }), { code })
}
