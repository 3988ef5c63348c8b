/** Routes of other tools overlap where ours must not: the paths that two match get a line of their own, with what both ask. */

import { type OwnHost, wildcardSuffix } from '../../route/host.ts'
import { covers, type Pattern, parsePattern, shapeOf } from '../../route/pattern.ts'
import type { ImportedAccess, ImportedRoute, Loss } from './policy.ts'

type Routes = ReadonlyMap<string, ImportedRoute>

const ROUTES_MAX = 20_000

/** With the intersections that are missing. Patterns that cannot be read are left for the compiler to name. */
export function withIntersections(routes: Routes, own: OwnHost, losses: Loss[]): Routes {
  const all = new Map(routes)
  const read: Pattern[] = []
  const shapes = new Set<string>()
  const add = (text: string): void => {
    const pattern = parsePattern(text, own)
    if ('message' in pattern) return
    shapes.add(keyOf(pattern))
    read.push(pattern)
  }
  for (const text of routes.keys()) add(text)
  for (let at = 0; at < read.length && read.length < ROUTES_MAX; at += 1) {
    for (let other = 0; other < at; other += 1) {
      const meeting = meetingOf(read[at]!, read[other]!)
      if (meeting === null || shapes.has(meeting.key)) continue
      const [one, two] = [all.get(read[at]!.text)!, all.get(read[other]!.text)!]
      losses.push({
        where: meeting.text,
        what: `both \`${read[other]!.text}\` and \`${read[at]!.text}\` match it`,
        instead: 'what both ask',
      })
      all.set(meeting.text, {
        ...bothOf(one, two),
        comment: `Both ${read[other]!.text} and ${read[at]!.text} match this.`,
      })
      add(meeting.text)
    }
  }
  return all
}

function keyOf({ host, segments, isTail }: Pick<Pattern, 'host' | 'segments' | 'isTail'>): string {
  return `${host ?? ''} ${shapeOf({ segments, isTail })}`
}

/** What two patterns both match, where neither is more specific; else null. */
function meetingOf(a: Pattern, b: Pattern): { readonly key: string; readonly text: string } | null {
  if (!isHostShared(a, b) || !overlaps(a, b)) return null
  const isSameHost = a.host === b.host
  const [wide, narrow] = a.host !== null && wildcardSuffix(a.host) !== null ? [a, b] : [b, a]
  if (isSameHost ? covers(a, b) || covers(b, a) : covers(wide, narrow)) return null
  const [long, short] = a.segments.length >= b.segments.length ? [a, b] : [b, a]
  const segments = long.segments.map((segment, at) => segment ?? short.segments[at] ?? null)
  const met = { host: narrow.host, segments, isTail: long.isTail && short.isTail }
  const slash = narrow.text.indexOf('/')
  return { key: keyOf(met), text: `${narrow.text.slice(0, slash)}${shapeOf(met)}` }
}

function isHostShared(a: Pattern, b: Pattern): boolean {
  if (a.host === b.host) return true
  if (a.host === null || b.host === null) return false
  return [[a.host, b.host] as const, [b.host, a.host] as const].some(([wide, host]) => {
    const suffix = wildcardSuffix(wide)
    return suffix !== null && wildcardSuffix(host) === null && host.slice(host.indexOf('.')) === suffix
  })
}

function overlaps(a: Pattern, b: Pattern): boolean {
  const [long, short] = a.segments.length >= b.segments.length ? [a, b] : [b, a]
  if (long.segments.length > short.segments.length && !short.isTail) return false
  return short.segments.every((segment, at) => {
    const other = long.segments[at]!
    return segment === null ? other !== '' : other === null ? segment !== '' : segment === other
  })
}

/** A route that asks what both ask, of the methods that both have. They must lead to one place. */
export function bothOf(a: ImportedRoute, b: ImportedRoute): ImportedRoute {
  const isOnePlace = a.to === b.to && JSON.stringify(a.more) === JSON.stringify(b.more)
  if (!isOnePlace || a.to === null) return { to: null, access: new Map([['*', 'deny']]), more: {}, comment: null }
  const access = new Map<string, ImportedAccess>()
  const keys = new Set([...a.access.keys(), ...b.access.keys()])
  for (const key of keys) {
    const [one, two] = [a.access.get(key) ?? a.access.get('*'), b.access.get(key) ?? b.access.get('*')]
    if (one !== undefined && two !== undefined) access.set(key, stricter(one, two))
  }
  if (access.size > 1) access.delete('*') // of methods that only one of them names, what is left out is refused
  if (access.size === 0) access.set('*', 'deny')
  const isDenied = [...access.values()].every((single) => single === 'deny')
  return { ...a, to: isDenied ? null : a.to, access: isDenied ? new Map([['*', 'deny']]) : access }
}

const WORDS = ['public', 'optional', 'login', 'deny']

/** What lets in only who meets both. */
export function stricter(a: ImportedAccess, b: ImportedAccess): ImportedAccess {
  if (JSON.stringify(a) === JSON.stringify(b)) return a
  if (typeof a === 'string' && typeof b === 'string') return WORDS.indexOf(a) > WORDS.indexOf(b) ? a : b
  if (a === 'deny' || b === 'deny') return 'deny'
  if (typeof a === 'string') return typeof b === 'string' || a === 'public' ? b : withoutKeys(b)
  if (typeof b === 'string') return b === 'public' ? a : withoutKeys(a)
  if ('any' in a && 'any' in b) return 'deny' // an AND of two alternatives has no short form, and nobody would read it
  const [outer, inner] = 'any' in a ? [b, a] : [a, b]
  return { ...outer, any: [{ with: INTERACTIVE, ...inner }] }
}

const INTERACTIVE = ['session', 'token']

/** `login` and `optional` take no API keys; without `with`, requirements take none either. */
function withoutKeys(requirement: { readonly [key: string]: unknown }): ImportedAccess {
  const kinds = requirement.with === undefined ? INTERACTIVE : [requirement.with].flat()
  const left = kinds.filter((kind) => kind !== 'key')
  if (left.length === kinds.length) return requirement
  return left.length === 0 ? 'deny' : { ...requirement, with: left }
}
