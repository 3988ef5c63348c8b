/** What the reader of an answer asks of its field values (RFC 9110 §5.6). */

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
