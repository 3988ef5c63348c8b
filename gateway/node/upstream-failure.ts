/** What went wrong with an upstream, as a Refusal: the client learns whose fault it was, the log learns the rest. */

import { Refusal } from '../model.ts'
import type { Reason } from '../problem/catalogue.ts'

/** Our own reasons to stop an exchange. They travel through streams and undici as the `code` of an Error, and come back out. */
export type StopReason =
  | 'body.too-large'
  | 'upstream.busy'
  | 'upstream.timeout'
  | 'upstream.connect-timeout'
  | 'upstream.first-byte-timeout'
  | 'upstream.total-timeout'
  | 'upstream.protocol'
  | 'client.gone'
  | 'client.stalled'
  | 'gateway.bug'
  | 'gateway.stopping'
  | 'principal.revoked'
  | 'policy.changed'
  | 'revocation.stale'

export function stopped(reason: StopReason, message: string): Error {
  return Object.assign(new Error(message), { code: reason })
}

/** Codes of Node, undici and OpenSSL; whatever is not listed broke while it was open. */
const REASON_OF: Readonly<Record<string, Reason>> = {
  ECONNREFUSED: 'upstream.refused',
  ENOTFOUND: 'upstream.refused',
  EAI_AGAIN: 'upstream.refused',
  EHOSTUNREACH: 'upstream.refused',
  ENETUNREACH: 'upstream.refused',
  EADDRNOTAVAIL: 'upstream.refused',
  EACCES: 'upstream.refused',
  'body.too-large': 'body.too-large',
  'upstream.busy': 'upstream.busy',
  'upstream.timeout': 'upstream.timeout',
  'upstream.connect-timeout': 'upstream.connect-timeout',
  'upstream.first-byte-timeout': 'upstream.first-byte-timeout',
  'upstream.total-timeout': 'upstream.total-timeout',
  'upstream.protocol': 'upstream.protocol',
  'gateway.bug': 'gateway.bug',
  'gateway.stopping': 'gateway.stopping',
  'principal.revoked': 'principal.revoked',
  'policy.changed': 'policy.changed',
  'revocation.stale': 'revocation.stale',
  'client.gone': 'head.malformed',
  'client.stalled': 'head.timeout',
  UND_ERR_CONNECT_TIMEOUT: 'upstream.connect-timeout',
  ETIMEDOUT: 'upstream.connect-timeout',
  ERR_UPSTREAM_UPGRADE_TIMEOUT: 'upstream.first-byte-timeout',
  UND_ERR_HEADERS_OVERFLOW: 'upstream.protocol',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'upstream.protocol',
  UND_ERR_RES_EXCEEDED_MAX_SIZE: 'upstream.protocol',
  ERR_INVALID_CHAR: 'upstream.protocol',
  ERR_HTTP_INVALID_STATUS_CODE: 'upstream.protocol',
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

export function refusalOf(error: unknown): Refusal {
  const log = logOf(error)
  const code = codeOf(error)
  if (code.startsWith('HPE_') || isProtocolError(error)) return new Refusal('upstream.protocol', { log })
  if (code.startsWith('ERR_TLS_') || code.startsWith('ERR_SSL_') || code.includes('CERT')) {
    return new Refusal('upstream.refused', { log })
  }
  return new Refusal(REASON_OF[code] ?? 'upstream.terminated', { log })
}

/** A connection that was open when we chose it and dead when we used it: the one failure that a second try mends. */
export function isStaleConnection(error: unknown): boolean {
  const code = codeOf(error)
  if (isProtocolError(error)) return false
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE'
}

/** It could not be reached or broke off, and no fault of the request's. */
export function isServersFault(error: unknown): boolean {
  const { reason } = refusalOf(error)
  return isTriedElsewhere(error) || (reason === 'upstream.protocol' && codeOf(error) !== 'ERR_INVALID_CHAR')
}

/** Nothing was wrong with what was to be sent, so another server may do better. */
export function isTriedElsewhere(error: unknown): boolean {
  const { reason } = refusalOf(error)
  return reason === 'upstream.refused' || reason === 'upstream.connect-timeout' || reason === 'upstream.terminated'
}

/** undici gives its parser's errors no code of their own, and calls a 1xx it did not expect a bad response or a bad upgrade. */
function isProtocolError(error: unknown): boolean {
  return (
    error instanceof Error && (error.name === 'HTTPParserError' || /^bad (?:response|upgrade)$/.test(error.message))
  )
}

function logOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = codeOf(error)
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : ''
  return `${code === '' ? error.name : code} ${error.message}${cause}`
}
