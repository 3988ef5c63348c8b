/**
 * The one canonicalizer of request targets: what it yields is matched, logged and forwarded, byte for byte (SECURITY rule 3).
 * It decodes escapes of unreserved characters and changes nothing else; whatever servers read in two ways it refuses.
 */

import { Refusal } from '../model.ts'
import { readOtherwise } from './readings.ts'

export interface CanonicalTarget {
  readonly path: string
  /** Empty, or begins with `?`. Forwarded as it came. */
  readonly query: string
  /** Other readings that a lenient server could give the path; see `readingsOf`. */
  readonly readings: readonly string[]
}

const MALFORMED = Object.freeze(new Refusal('target.malformed'))
const DOT_SEGMENT = Object.freeze(new Refusal('target.dot-segment'))
const ENCODED_SEPARATOR = Object.freeze(new Refusal('target.encoded-separator'))
const CONTROL = Object.freeze(new Refusal('target.control'))
const FRAGMENT = Object.freeze(new Refusal('target.fragment'))

/**
 * Reads an origin-form target (RFC 9112 §3.2.1): a path, and maybe a query. Idempotent: its own result comes out unchanged.
 * An encoded slash is a refusal unless it is admitted; then it is data of its segment, and whoever matches the path must know so.
 */
export function parseTarget(text: string, isEncodedSlashAdmitted = false): CanonicalTarget | Refusal {
  if (UNLAWFUL.test(text)) return unlawful(text)
  const mark = text.indexOf('?')
  const path = canonicalPath(mark < 0 ? text : text.slice(0, mark), isEncodedSlashAdmitted)
  if (path instanceof Refusal) return path
  return { path, query: mark < 0 ? '' : text.slice(mark), readings: readingsOf(path) }
}

export function holdsEncodedSlash(path: string): boolean {
  return path.includes('%') && ENCODED_SLASH.test(path)
}

/**
 * Every other reading of a canonical path, empty for nearly every path. An empty string among them is a reading that no route
 * can meet: a server that reads the path so leaves our tree.
 */
export function readingsOf(path: string): readonly string[] {
  return readOtherwise(path, (text) => canonicalPath(text, true)) // none of them decodes one that was not there
}

/** Blanks, controls and what is wider than ASCII never stand in a target; nor does a fragment (RFC 9112 §3.2). */
const UNLAWFUL = /[^\x21-\x7e]|#/

function unlawful(text: string): Refusal {
  if (/[\x00-\x1f\x7f]/.test(text)) return CONTROL
  return /[^\x21-\x7e]/.test(text) ? MALFORMED : FRAGMENT
}

function canonicalPath(text: string, isEncodedSlashAdmitted: boolean): string | Refusal {
  if (text.charCodeAt(0) !== SLASH || text.includes('\\')) return MALFORMED
  const path = text.includes('%') ? decodeUnreserved(text) : text
  if (path instanceof Refusal) return path
  const hasEncodedSlash = holdsEncodedSlash(path)
  if (hasEncodedSlash && !isEncodedSlashAdmitted) return ENCODED_SEPARATOR
  if (path.includes('/.') && DOT_SEGMENTS.test(path)) return DOT_SEGMENT
  return hasEncodedSlash && HIDDEN_DOTS.test(path) ? DOT_SEGMENT : path
}

const SLASH = 0x2f
const DOT_SEGMENTS = /\/\.\.?(?:\/|$)/
const ENCODED_SLASH = /%2f/i
/** A step of nothing but dots and blanks, for a server that splits at the encoded slash after all: never data, whatever the route says. */
const HIDDEN_DOTS = /(?:\/|%2f)(?:%20)*\.(?:\.|%20)*(?:\/|%2f|;|%3b|$)/i

/** RFC 3986 §6.2.2.2. Its result holds no escape that was not in its input, so a second pass finds nothing to do. */
function decodeUnreserved(text: string): string | Refusal {
  if (BROKEN_ESCAPE.test(text) || OVERLONG.test(text)) return MALFORMED
  if (ESCAPED_CONTROL.test(text)) return CONTROL
  if (ESCAPED_BACKSLASH.test(text)) return ENCODED_SEPARATOR
  return text.replace(ESCAPE, unreserved)
}

const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i
const ESCAPE = /%[0-9a-f]{2}/gi
const ESCAPED_CONTROL = /%(?:[01][0-9a-f]|7f)/i
const ESCAPED_BACKSLASH = /%5c/i
/** RFC 3629 §10: longer spellings of a character that has a shorter one, `%c0%af` for a slash. Never UTF-8, always a trick. */
const OVERLONG = /%(?:c[01]%[89ab]|e0%[89]|f0%8)[0-9a-f]/i

function unreserved(escaped: string): string {
  const char = String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
  return /[A-Za-z0-9._~-]/.test(char) ? char : escaped
}
