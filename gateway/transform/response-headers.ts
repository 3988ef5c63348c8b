/**
 * Composes the field lines a client sees of an upstream's answer (SECURITY rules 8 and 9): an upstream says nothing about
 * this connection, our cookies or our whole origin, and what identity let through is kept out of shared caches.
 */

import { ownCookies } from '../http/cookies.ts'
import { areFieldValues, byName, isFieldValue, readName } from '../http/field-line.ts'
import { isHopByHop } from '../http/field-names.ts'
import { listMembers, nominatedNames } from '../http/header-list.ts'
import { remembered } from '../http/remembered.ts'
import type { ForwardPlan, HeaderList } from '../model.ts'
import type { Snapshot } from '../snapshot.ts'
import { privateCacheControl } from './cache-control.ts'
import { corsLines, variesByOrigin } from './cors.ts'
import { edited } from './edits.ts'

export function clientHeaders(snapshot: Snapshot, plan: ForwardPlan, sent: HeaderList): HeaderList {
  const { route, principal, setCookies, answerHeaders } = plan
  // First of all, so that what a route sets is bound by all that binds the upstream.
  const headers = edited(sent, nominatedNames(sent), route.responseEdits)
  const own = ownCookies(snapshot.ownCookiePrefixes)
  const isPrivate = (principal !== null || asksAddress(plan)) && !route.isSharedCacheAllowed
  const isCacheOurs = isPrivate || setCookies.length > 0
  const varying = variesBy(plan)
  const lines: string[] = []
  const cacheControl: string[] = []
  const vary: string[] = []
  const isWritable = areFieldValues(headers)
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!
    const value = headers[at + 1]!
    if (!isWritable && !isFieldValue(value)) continue // the runtime would refuse to write it
    switch (fateOf(name)) {
      case 'keep':
        lines.push(name, value)
        break
      case 'origin':
        if (route.allowResponseHeaders.has(name.toLowerCase())) lines.push(name, value)
        break
      case 'limit':
        if (answerHeaders.length === 0) lines.push(name, value)
        break
      case 'set-cookie':
        if (!own.is(value)) lines.push(name, value)
        break
      case 'cache-control':
        if (isCacheOurs) cacheControl.push(value)
        else lines.push(name, value)
        break
      case 'cdn':
        if (!isCacheOurs) lines.push(name, value)
        break
      case 'vary':
        if (varying !== null) vary.push(value)
        else lines.push(name, value)
    }
  }
  if (setCookies.length > 0) lines.push('Cache-Control', 'no-store')
  else if (isPrivate) lines.push('Cache-Control', privateCacheControl(cacheControl))
  if (varying !== null) lines.push('Vary', varying(vary.length === 1 ? vary[0]! : vary.join(',')))
  lines.push(...corsLines(route, plan.head), ...answerHeaders)
  for (const cookie of setCookies) lines.push('Set-Cookie', cookie)
  lines.push('X-Request-Id', plan.head.requestId)
  return lines
}

/** What becomes of an upstream's field, by its name: most are kept whatever the route says, the others for a reason each. */
type Fate = 'keep' | 'drop' | 'origin' | 'limit' | 'set-cookie' | 'cache-control' | 'cdn' | 'vary'

const fateOf = byName<Fate>((name) => {
  const { lower, shape } = readName(name)
  if (shape === 'invalid' || isHopByHop(lower) || lower === 'x-request-id') return 'drop'
  if (lower.startsWith('access-control-')) return 'drop'
  if (WHOLE_ORIGIN.has(lower)) return 'origin'
  if (OUR_LIMITS.has(lower)) return 'limit'
  if (lower === 'set-cookie' || lower === 'cache-control' || lower === 'vary') return lower
  return isCdnCacheControl(lower) ? 'cdn' : 'keep'
})

/** A shared cache would hand on to every network what only some may have: nobody in particular came in, but not just anybody. */
function asksAddress({ match }: ForwardPlan): boolean {
  return match.access?.kind === 'require'
}

/**
 * Fields that rule a whole origin, and outlive the answer. Reporting-Endpoints is not among them: unlike Report-To it ends
 * with its document (W3C Reporting §3.2).
 */
export const WHOLE_ORIGIN: ReadonlySet<string> = new Set([
  'alt-svc',
  'clear-site-data',
  'nel',
  'report-to',
  'service-worker-allowed',
])

/** RFC 9213 and its forebears: they overrule Cache-Control in one cache or another. */
export function isCdnCacheControl(lower: string): boolean {
  return lower.endsWith('cdn-cache-control') || CACHE_OVERRULES.has(lower)
}

const CACHE_OVERRULES: ReadonlySet<string> = new Set([
  'edge-control',
  'surrogate-control',
  'x-accel-expires',
  'x-litespeed-cache-control',
])

/** How much of a limit is left: with lines of ours there, an upstream's own would be taken for them. Its Retry-After stays. */
export const OUR_LIMITS: ReadonlySet<string> = new Set(['ratelimit', 'ratelimit-policy'])

/** The Vary of an answer, from the upstream's own: what the answers to one URL may differ by is who asks, and from which origin's page. */
type Varying = (vary: string) => string

function variesBy(plan: ForwardPlan): Varying | null {
  const byOrigin = variesByOrigin(plan.route)
  if (variesByCredential(plan)) return byOrigin ? BY_BOTH : BY_CREDENTIAL
  return byOrigin ? BY_ORIGIN : null
}

/** What an answer to nobody and an answer to somebody may differ by, wherever both can have one URL. */
function variesByCredential({ route, head }: ForwardPlan): boolean {
  if (route.isSharedCacheAllowed || (head.method !== 'GET' && head.method !== 'HEAD')) return false
  return (route.access.get(head.method) ?? route.access.get('*'))?.kind !== 'public'
}

function withNames(more: readonly string[]): Varying {
  return remembered((vary) => {
    const names = listMembers(vary)
    if (names === null || names.includes('*')) return '*'
    const present = new Set(names.map((name) => name.toLowerCase()))
    const missing = more.filter((name) => !present.has(name.toLowerCase()))
    return [...names, ...missing].join(', ')
  })
}

const BY_ORIGIN = withNames(['Origin'])
const BY_CREDENTIAL = withNames(['Cookie', 'Authorization'])
const BY_BOTH = withNames(['Cookie', 'Authorization', 'Origin'])
