/** What RFC 9113 §8.2 asks of a head beside what every version does. Parsers check it too; a hop to HTTP/1.1 must not rest on that. */

import type { HeaderList } from '../model.ts'

/** Names in small letters, no pseudo-field left over, and nothing that speaks of a connection: it would mean something to the next hop. */
export function isHttp2Head(headers: HeaderList, names: readonly string[]): boolean {
  for (let at = 0; at < names.length; at += 1) {
    const name = names[at]!
    if (CONNECTION_SPECIFIC.has(name)) return false
    if (name === 'te' && headers[2 * at + 1]!.toLowerCase() !== 'trailers') return false
  }
  for (let at = 0; at < headers.length; at += 2) if (UPPER_CASE.test(headers[at]!)) return false
  return true
}

const UPPER_CASE = /[A-Z]/

const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])
