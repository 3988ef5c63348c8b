/** What differs between two routes besides who may come in: where a request goes, what becomes of it on the way, and how much is allowed. */

import type { HeaderList } from '../../model.ts'
import type {
  CorsRules,
  EjectionRule,
  HeaderEdits,
  HealthRule,
  IdentityDialect,
  Route,
  Timeouts,
  Upstream,
} from '../../rules.ts'
import { describeLimits, describeRewrite, durationWords } from '../describe.ts'

export interface PartChange {
  readonly what: string
  /** In plain words. */
  readonly before: string
  readonly after: string
}

type Describe = (route: Route) => string

/** Each part of a route as text: equal texts, equal behaviour. Lists whose order means nothing are sorted. */
const PARTS: Readonly<Record<string, Describe>> = {
  upstream: ({ upstream }) => (upstream === null ? 'none' : `${upstream.id} at ${serversOf(upstream)}`),
  'upstream host': ({ upstream }) => upstream?.host ?? 'none',
  'upstream paths': ({ upstream }) => (upstream?.isPathExact === true ? 'exact' : 'lenient'),
  identity: ({ upstream }) => (upstream === null ? 'none' : identityOf(upstream.identity)),
  assertion: ({ upstream }) => (upstream?.isAsserted === true ? 'signed' : 'none'),
  rewrite: (route) => (isSwapIdle(route) ? 'none' : describeRewrite(route)!),
  'encoded slashes': ({ isEncodedSlashKept }) => (isEncodedSlashKept ? 'kept' : 'refused'),
  limit: ({ limits }) => describeLimits(limits.toSorted((a, b) => (limitKey(a) < limitKey(b) ? -1 : 1))) || 'none',
  'limit counted over': ({ limits }) => limits.map(limitKey).sort().join(', ') || 'nothing',
  body: ({ bodyBytesMax }) => `${bodyBytesMax} bytes`,
  timeout: ({ timeouts }) => timeoutsOf(timeouts),
  'upstream health': ({ upstream }) => (upstream?.health ? healthOf(upstream.health) : 'not asked'),
  'upstream ejection': ({ upstream }) => (upstream?.ejection ? ejectionOf(upstream.ejection) : 'off'),
  'upstream retries': ({ upstream }) => `${upstream?.retryPercentMax ?? 0}%`,
  'upstream connections': ({ upstream }) => (upstream === null ? 'none' : `${upstream.connectionsMax} each`),
  'upstream queue': ({ upstream }) => `${upstream?.queueMax ?? 0}`,
  cors: ({ cors }) => (cors === null ? 'none' : corsOf(cors)),
  'request headers': ({ requestEdits }) => editsOf(requestEdits),
  'response headers': ({ responseEdits }) => editsOf(responseEdits),
  'request headers let through': ({ allowRequestHeaders }) => setOf(allowRequestHeaders),
  'response headers let through': ({ allowResponseHeaders }) => setOf(allowResponseHeaders),
  'service workers': ({ isServiceWorkerAllowed }) => (isServiceWorkerAllowed ? 'allowed' : 'refused'),
  'shared caches': ({ isSharedCacheAllowed }) => (isSharedCacheAllowed ? 'allowed' : 'kept out'),
}

export function routeChanges(before: Route, after: Route): readonly PartChange[] {
  const changes: PartChange[] = []
  for (const [what, describe] of Object.entries(PARTS)) {
    const [was, is] = [describe(before), describe(after)]
    if (was === is || (what === 'limit counted over' && changes.some((change) => change.what === 'limit'))) continue
    changes.push({ what, before: was, after: is })
  }
  return changes
}

function serversOf({ servers }: Upstream): string {
  const weights = new Set(servers.map(({ weight }) => weight))
  const words = servers.map(({ origin, weight }) => (weights.size === 1 ? origin : `${origin} x${weight}`))
  return words.sort().join(', ')
}

function timeoutsOf({ connectMs, firstByteMs, idleMs, totalMs }: Timeouts): string {
  const parts = [durationWords(idleMs), `${durationWords(connectMs)} to connect`]
  if (firstByteMs !== idleMs) parts.push(`${durationWords(firstByteMs)} to the first byte`)
  if (totalMs !== null) parts.push(`${durationWords(totalMs)} in all`)
  return parts.join(', ')
}

function healthOf({ path, intervalMs, timeoutMs, healthyAfter, unhealthyAfter }: HealthRule): string {
  const [every, within] = [durationWords(intervalMs), durationWords(timeoutMs)]
  return `${path} every ${every} within ${within}, well after ${healthyAfter}, unwell after ${unhealthyAfter}`
}

function ejectionOf({ failures, durationMs }: EjectionRule): string {
  return `after ${failures} failures for ${durationWords(durationMs)}`
}

function identityOf({ preset, fields }: IdentityDialect): string {
  if (preset !== 'map') return preset
  return fields
    .map(({ name, claim, separator }) => `${name}: ${claim} by ${JSON.stringify(separator)}`)
    .sort()
    .join(', ')
}

/** A prefix that is taken off and put on again changes nothing. */
function isSwapIdle({ prefixSwap }: Route): boolean {
  return prefixSwap === null || prefixSwap.strip === prefixSwap.add
}

/** A limit of `defaults` is one count for all routes, a route's own is its own; which line names the route does not matter. */
function limitKey({ id, text }: Route['limits'][number]): string {
  return id === `defaults ${text}` ? `${text} over all routes` : `${text} on this route`
}

function corsOf(cors: CorsRules): string {
  const origins = [...(cors.isAnyOrigin ? ['any origin'] : []), ...[...cors.origins].sort()].join(', ')
  const parts = [
    origins,
    cors.methods.length === 0 ? 'methods of the route' : `methods ${sortedOf(cors.methods)}`,
    `headers ${sortedOf(cors.headers)}`,
    `exposes ${sortedOf(cors.exposedHeaders.map((name) => name.toLowerCase()))}`,
    cors.isWithCredentials ? 'with credentials' : 'without credentials',
    `for ${durationWords(cors.maxAgeS * 1000)}`,
  ]
  return parts.join('; ')
}

function editsOf(edits: HeaderEdits | null): string {
  if (edits === null) return 'as they are'
  const { remove, set, add } = edits
  const parts = [
    ...(remove.size === 0 ? [] : [`remove ${setOf(remove)}`]),
    ...(set.length === 0 ? [] : [`set ${linesOf(set)}`]),
    ...(add.length === 0 ? [] : [`add ${linesOf(add)}`]),
  ]
  return parts.join('; ')
}

function linesOf(lines: HeaderList): string {
  const pairs = lines.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${JSON.stringify(lines[at + 1])}`] : []))
  return pairs.sort().join(', ')
}

function setOf(names: ReadonlySet<string>): string {
  return sortedOf([...names])
}

function sortedOf(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.toSorted().join(', ')
}
