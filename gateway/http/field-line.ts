/**
 * Reads the two halves of a field line (RFC 9110 §5). Names are folded and judged once per spelling and then remembered,
 * because the same few dozen spellings make up nearly all requests.
 */

import type { HeaderList } from '../model.ts'
import { remembered } from './remembered.ts'

export interface FieldName {
  readonly lower: string
  /**
   * `plain` stays within [A-Za-z0-9-]. `peculiar` is a lawful token that servers read differently: CGI and WSGI fold `_` and
   * `.` into `-`. `invalid` is no name at all (RFC 9110 §5.1), such as one with a space in front of its colon.
   */
  readonly shape: 'plain' | 'peculiar' | 'invalid'
}

/** Spellings remembered at once. */
const NAMES_MAX = 4096
/** A longer name is not worth remembering. */
const NAME_CHARS_MAX = 64

/** What follows from a field name alone, worked out once. */
export function byName<Answer extends NonNullable<unknown>>(
  answer: (name: string) => Answer,
): (name: string) => Answer {
  return remembered(answer, NAMES_MAX, NAME_CHARS_MAX)
}

export const readName = byName<FieldName>((name) =>
  Object.freeze({ lower: interned(name.toLowerCase()), shape: shapeOf(name) }),
)

/** The engine keeps property names once each, and two such texts are compared by where they are. */
function interned(text: string): string {
  return Object.keys({ [text]: null })[0]!
}

function shapeOf(name: string): FieldName['shape'] {
  if (PLAIN.test(name)) return 'plain'
  return isToken(name) ? 'peculiar' : 'invalid'
}

const PLAIN = /^[A-Za-z0-9-]+$/
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/

/** RFC 9110 §5.6.2: a field name, a method. Not remembered: `readName` is for names that come again. */
export function isToken(text: string): boolean {
  return TOKEN.test(text)
}

/** RFC 9110 §5.5, whole: no CR, LF, NUL or other control, no folding; obs-text is opaque; nothing wider than a byte. */
export function isFieldValue(value: string): boolean {
  return !CONTROL_OR_WIDE.test(value) && !DELETE.test(value)
}

/** All values of these lines at once, for each test costs more than the characters it looks at. */
export function areFieldValues(headers: HeaderList): boolean {
  let all = ''
  for (let at = 1; at < headers.length; at += 2) all += headers[at]
  return isFieldValue(all)
}

/** In two, for V8 looks at sixteen characters at once while no more than 31 are sought: half the cost of one test for all. */
const CONTROL_OR_WIDE = /[\0-\x08\n-\x1f\u0100-\uffff]/
const DELETE = /\x7f/
