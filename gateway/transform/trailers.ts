/**
 * What an upstream says beside the head of its answer: trailers behind the body, and early hints before it. Neither may say what
 * only a head may say (RFC 9110 §6.5.1), nor anything that a head is not allowed to say either (SECURITY rules 7 to 9).
 */

import { isFieldValue, readName } from '../http/field-line.ts'
import { isHopByHop, isReserved } from '../http/field-names.ts'
import type { ForwardPlan, HeaderList } from '../model.ts'
import type { Snapshot } from '../snapshot.ts'
import { isCdnCacheControl, OUR_LIMITS, WHOLE_ORIGIN } from './response-headers.ts'

/**
 * Does a TE field (RFC 9110 §10.1.4) say that trailers are taken? A weight makes no difference to them, but for one of nothing,
 * which nobody sends.
 */
export function takesTrailers(te: string): boolean {
  return te.split(',').some((coding) => coding.trim().toLowerCase() === 'trailers')
}

/** The trailers a client sees of an upstream's: none, unless it said that it takes them. */
export function clientTrailers(snapshot: Snapshot, { head, route }: ForwardPlan, sent: HeaderList): HeaderList {
  const isTaken = head.names.some((name, at) => name === 'te' && takesTrailers(head.headers[2 * at + 1]!))
  const lines: string[] = []
  if (!isTaken) return lines
  for (let at = 0; at < sent.length; at += 2) {
    const { lower, shape } = readName(sent[at]!)
    const value = sent[at + 1]!
    if (shape !== 'plain' || !isFieldValue(value)) continue
    if (isHeadOnly(lower) || isReserved(lower, snapshot.reservedNames) || route.responseEdits?.remove.has(lower))
      continue
    lines.push(sent[at]!, value)
  }
  return lines
}

/** The field lines of a 103 (RFC 8297): what is to be loaded, and nothing else. Empty where the route edits that. */
export function earlyHints({ route }: ForwardPlan, sent: HeaderList): HeaderList {
  const lines: string[] = []
  if (route.responseEdits?.remove.has('link')) return lines
  for (let at = 0; at < sent.length; at += 2) {
    const value = sent[at + 1]!
    if (readName(sent[at]!).lower === 'link' && isFieldValue(value)) lines.push('Link', value)
  }
  return lines
}

/** Framing, routing, authentication, cookies, caching, and what rules how the content or a whole origin is read. */
function isHeadOnly(lower: string): boolean {
  if (lower === 'content-digest') return false // made for trailers (RFC 9530)
  if (HEAD_ONLY.has(lower) || WHOLE_ORIGIN.has(lower) || OUR_LIMITS.has(lower)) return true
  return isHopByHop(lower) || isCdnCacheControl(lower) || PREFIXES.some((prefix) => lower.startsWith(prefix))
}

const PREFIXES: readonly string[] = [
  'access-control-',
  'content-',
  'cross-origin-',
  'proxy-',
  'sec-',
  'x-content-',
  'x-frame-',
]

const HEAD_ONLY: ReadonlySet<string> = new Set([
  ...['accept-ranges', 'age', 'allow', 'authentication-info', 'authorization', 'cache-control', 'cookie', 'cookie2'],
  ...[
    'date',
    'expect',
    'expires',
    'host',
    'link',
    'location',
    'max-forwards',
    'origin',
    'permissions-policy',
    'pragma',
  ],
  ...['range', 'referer', 'referrer-policy', 'refresh', 'reporting-endpoints', 'retry-after', 'server', 'set-cookie'],
  ...[
    'set-cookie2',
    'sourcemap',
    'strict-transport-security',
    'user-agent',
    'vary',
    'via',
    'warning',
    'www-authenticate',
  ],
  ...['x-request-id', 'x-robots-tag'],
])
