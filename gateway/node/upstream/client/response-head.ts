/**
 * The head of an answer, and where its body ends (RFC 9112 §6.3). Two parsers that disagree on that are one answer that was
 * never sent, so whatever the RFC leaves to repair is refused.
 */

import { isToken } from '../../../http/field-line.ts'
import { isNamed } from '../../../http/header-list.ts'
import { isBlank, lists } from './fields.ts'

const LINES_MAX = 512
/** The last length that a number holds exactly has 16 digits. */
const LENGTH = /^\d{1,16}$/
const STATUS_LINE_CHARS_MIN = 'HTTP/1.1 200'.length

/** What is wrong with an answer, in words for the log. */
export type Fault = string

export interface ResponseHead {
  status: number
  headers: string[]
  /** Content-Length; -1 without. */
  lengthBytes: number
  isChunked: boolean
  /** The server will take another request on this connection. */
  isKeptAlive: boolean
  /** `Keep-Alive: timeout`, in ms; -1 without. */
  keepAliveMs: number
}

/** `text` holds whole lines, each ended by CR LF, with no other control character than HTAB between. */
export function readHead(text: string, head: ResponseHead): Fault | null {
  const isMinorKnown = text.startsWith('HTTP/1.1 ') || text.startsWith('HTTP/1.0 ')
  const status = digit(text, 9) * 100 + digit(text, 10) * 10 + digit(text, 11)
  const end = text.indexOf('\r\n')
  if (!isMinorKnown || end < STATUS_LINE_CHARS_MIN) return 'no status line of HTTP/1.0 or HTTP/1.1'
  if (!(status >= 100) || (end > STATUS_LINE_CHARS_MIN && text.charCodeAt(12) !== 0x20))
    return 'no status of three digits'
  const isOld = text.charCodeAt(7) === 0x30
  head.status = status
  head.headers = []
  head.lengthBytes = -1
  head.isChunked = false
  // In HTTP/1.0 it would have to be asked for, and a proxy on the way that does not know the word would pass it on (RFC 9112 §C.2.2).
  head.isKeptAlive = !isOld
  head.keepAliveMs = -1
  const fault = readFields(text, end + 2, head.headers)
  return fault ?? readFraming(head, isOld)
}

/** NaN for anything else. */
function digit(text: string, at: number): number {
  const value = text.charCodeAt(at) - 0x30
  return value >= 0 && value <= 9 ? value : Number.NaN
}

/**
 * Appends the fields from `from` on to `lines`. A folded line begins with a blank, and no name does. Parsers differ on whether a
 * tab belongs to a coding: llhttp reads `chunked` before one as a coding that it does not know, and so to the end of the connection.
 */
export function readFields(text: string, from: number, lines: string[]): Fault | null {
  for (let at = from; at < text.length; ) {
    const end = text.indexOf('\r\n', at)
    const colon = text.indexOf(':', at)
    if (colon < 0 || colon > end) return 'a line without a colon'
    const name = text.slice(at, colon)
    if (!isToken(name)) return 'a field name that is no token'
    if (isFraming(name) && text.slice(colon, end).includes('\t')) return 'a tab in the framing of the body'
    let first = colon + 1
    while (isBlank(text.charCodeAt(first))) first++
    let last = end
    while (last > first && isBlank(text.charCodeAt(last - 1))) last--
    if (lines.length >= 2 * LINES_MAX) return `more than ${LINES_MAX} fields`
    lines.push(name, text.slice(first, last))
    at = end + 2
  }
  return null
}

function readFraming(head: ResponseHead, isOld: boolean): Fault | null {
  const { headers } = head
  let framings = 0
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!
    const value = headers[at + 1]!
    switch (name.length) {
      case 10:
        if (isNamed(name, 'connection')) {
          if (lists(value, 'close')) head.isKeptAlive = false
        } else if (isNamed(name, 'keep-alive')) head.keepAliveMs = keepAliveMsOf(value)
        break
      // No name of a standard, but llhttp takes it for the other.
      case 16:
        if (isNamed(name, 'proxy-connection') && lists(value, 'close')) head.isKeptAlive = false
        break
      case 14:
        if (!isNamed(name, 'content-length')) break
        framings++
        head.lengthBytes = LENGTH.test(value) ? Number(value) : -1
        if (!Number.isSafeInteger(head.lengthBytes) || head.lengthBytes < 0) return 'a Content-Length that is no length'
        break
      case 17:
        if (!isNamed(name, 'transfer-encoding')) break
        framings++
        head.isChunked = true
        if (isOld) return 'a Transfer-Encoding in HTTP/1.0'
        if (value.toLowerCase() !== 'chunked') return 'a Transfer-Encoding other than chunked'
    }
  }
  if (framings > 1) return 'more than one framing of the body'
  if (head.status < 200 && framings > 0) return 'an interim answer with a body'
  return null
}

function keepAliveMsOf(value: string): number {
  const seconds = /(?:^|[,\s])timeout\s*=\s*"?(\d{1,6})/i.exec(value)?.[1]
  return seconds === undefined ? -1 : Number(seconds) * 1000
}

/** A trailer that frames would frame what has ended (RFC 9110 §6.5.1). */
export function isFraming(name: string): boolean {
  return isNamed(name, 'content-length') || isNamed(name, 'transfer-encoding')
}
