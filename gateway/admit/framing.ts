/** Message framing (RFC 9112 §6.3). Two parsers that disagree on where a body ends are one smuggled request. */

/**
 * Declared bytes of the body: 0 when there is none, -1 when only its end will tell, null when servers could disagree.
 * The RFC lets a gateway repair some of these; a repair is safe only if every upstream repairs alike.
 */
export function bodyBytesOf(
  httpVersion: '1.0' | '1.1' | '2.0',
  contentLength: string | null,
  transferEncoding: string | null,
  isOpen: boolean,
): number | null {
  if (transferEncoding === null) {
    if (contentLength === null) return isOpen ? -1 : 0
    return DIGITS.test(contentLength) ? Number(contentLength) : null
  }
  if (contentLength !== null || httpVersion !== '1.1') return null
  return transferEncoding.toLowerCase() === 'chunked' ? -1 : null
}

/** Within what a number holds exactly; a sign, a list, a blank or a hexadecimal is not a length. */
const DIGITS = /^[0-9]{1,15}$/
