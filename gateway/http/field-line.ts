/**
 * Reads the two halves of a field line (RFC 9110 §5). Names are folded and judged once per spelling and then remembered,
 * because the same few dozen spellings make up nearly all requests.
 */

export interface FieldName {
  readonly lower: string
  /**
   * `plain` stays within [A-Za-z0-9-]. `peculiar` is a lawful token that servers read differently: CGI and WSGI fold `_` and
   * `.` into `-`. `invalid` is no name at all (RFC 9110 §5.1), such as one with a space in front of its colon.
   */
  readonly shape: 'plain' | 'peculiar' | 'invalid'
}

/** Spellings remembered at once. The store is emptied when full: a flood of odd names costs speed, never memory. */
const NAMES_MAX = 4096
/** A longer name is not worth remembering. */
const NAME_CHARS_MAX = 64

const remembered = new Map<string, FieldName>()

export function readName(name: string): FieldName {
  return remembered.get(name) ?? readNewName(name)
}

function readNewName(name: string): FieldName {
  const read: FieldName = Object.freeze({ lower: name.toLowerCase(), shape: shapeOf(name) })
  if (name.length > NAME_CHARS_MAX) return read
  if (remembered.size >= NAMES_MAX) remembered.clear()
  remembered.set(name, read)
  return read
}

function shapeOf(name: string): FieldName['shape'] {
  if (PLAIN.test(name)) return 'plain'
  return TOKEN.test(name) ? 'peculiar' : 'invalid'
}

const PLAIN = /^[A-Za-z0-9-]+$/
/** RFC 9110 §5.6.2. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/

/** RFC 9110 §5.5, whole: no CR, LF, NUL or other control, no folding; obs-text is opaque; nothing wider than a byte. */
export function isFieldValue(value: string): boolean {
  return !UNLAWFUL.test(value)
}

const UNLAWFUL = /[^\t\x20-\x7e\x80-\xff]/
