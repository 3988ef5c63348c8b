/** What fields say of the length of a body. */

import { firstValue } from '../../http/header-list.ts'
import type { HeaderList } from '../../model.ts'

/**
 * RFC 9112 §6.3: an answer with two lengths, or a length beside a coding, has two ends. The parser joins them; we refuse. A coding
 * other than chunked it leaves in the body, which we would pass on without its name.
 */
export function isFramedOnce(lines: HeaderList): boolean {
  let framings = 0
  for (let at = 0; at < lines.length; at += 2) {
    const name = lines[at]!
    if (name.length !== 14 && name.length !== 17) continue
    const lower = name.toLowerCase()
    if (lower === 'content-length' || lower === 'transfer-encoding') framings++
    if (lower === 'transfer-encoding' && lines[at + 1]!.trim().toLowerCase() !== 'chunked') return false
  }
  return framings < 2
}

/** -1 where only the end will tell. */
export function lengthOf(method: string, status: number, lines: HeaderList): number {
  if (method === 'HEAD' || status === 204 || status === 304) return 0
  const length = firstValue(lines, 'content-length')
  return length === null ? -1 : Number(length)
}

/** Methods whose content a server expects, and so is told when there is none (RFC 9110 §8.6). */
export const WITH_CONTENT: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])
