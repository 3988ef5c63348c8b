/** Grammar of the fields of a message (RFC 9110 §5), the same for what is read and for what is written. */

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Not HTAB, SP, VCHAR or obs-text. Beyond latin1 a character would be cut to one byte, and that byte may end the line. */
const UNWRITABLE = /[^\t\x20-\x7e\x80-\xff]/

export function isToken(text: string): boolean {
  return TOKEN.test(text)
}

export function isFieldValue(text: string): boolean {
  return !UNWRITABLE.test(text)
}

export function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/** True when `list` (RFC 9110 §5.6.1) names this option, in whatever case. */
export function lists(list: string, option: string): boolean {
  if (!list.includes(',')) return list.length === option.length && list.toLowerCase() === option
  return list
    .toLowerCase()
    .split(',')
    .some((each) => each.trim() === option)
}
