/**
 * Rewrites (SECURITY rule 5): a constant prefix swap, and no way round another route's guard. Two routes that reach one upstream
 * path from different hosts or through different rewrites ask the same of their callers, or the looser says that it is meant.
 */

import { segmentsOf } from '../http/prefix.ts'
import { parseTarget } from '../http/target.ts'
import { Refusal } from '../model.ts'
import type { CompiledRoutes, RouteEntry } from '../route/compile.ts'
import { covers, foldCase, type PathSet, type Pattern, type Segment, segmentKey, shapeOf } from '../route/pattern.ts'
import { eachOverlap, emptyNode, intersect, nodeFor } from '../route/trie.ts'
import type { AccessByMethod, Upstream } from '../rules.ts'
import { isAllDenied } from './access.ts'
import type { Path, Trouble } from './issues.ts'
import type { RouteConfig } from './route-schema.ts'
import { compareAccess, type Strictness } from './strictness.ts'

type Report = (path: Path, trouble: Trouble) => void

/** What one route says of its rewrite, by itself. */
export function checkRewrite(pattern: Pattern, config: RouteConfig, isPathExact: boolean, report: Report): void {
  const { stripPrefix, addPrefix } = config
  for (const [key, prefix] of Object.entries({ stripPrefix, addPrefix })) {
    if (prefix === undefined) continue
    const path = ['routes', pattern.text, key]
    const target = parseTarget(prefix)
    if (target instanceof Refusal || target.path !== prefix) {
      report(path, {
        message: `\`${prefix}\` is not in canonical form`,
        cure:
          target instanceof Refusal
            ? 'no path may hold it: write literal segments, such as `/api/v2`'
            : `write it as requests are compared: \`${target.path}\``,
      })
    } else if (
      key === 'addPrefix' &&
      !isPathExact &&
      target.readings.some((reading) => reading !== prefix.toLowerCase())
    ) {
      report(path, {
        message: `\`${prefix}\` has a spelling that servers read differently`,
        cure: 'write plain segments, or say `paths: exact` on the upstream if it reads paths literally',
      })
    }
  }
  if (stripPrefix === undefined) return
  const wanted = keysOf(stripPrefix)
  if (wanted.every((key, at) => pattern.segments[at] === key)) return
  report(['routes', pattern.text, 'stripPrefix'], {
    message: `\`${pattern.text}\` does not begin with \`${stripPrefix}\`, so there is nothing to strip`,
    cure: 'write the literal segments that the pattern begins with, up to its first parameter',
  })
}

function keysOf(prefix: string): string[] {
  return prefix === '' ? [] : prefix.slice(1).split('/').map(segmentKey)
}

/** What a route asks, and says of itself: routes of one kind fare alike beside those of another. */
interface Kind {
  readonly access: AccessByMethod
  readonly isAlias: boolean
  /** Where its conditions read: the parameters and their places in the upstream's path. Empty without conditions. */
  readonly names: string
  /** Kinds that may reach the same paths as this one: the same is asked, or the looser says that it is meant. */
  readonly verdicts: Map<Kind, Verdict>
}

interface Verdict {
  /** Of this kind against the other. */
  readonly strictness: Strictness
  readonly isFine: boolean
}

/** A route that reaches a server, with its paths as that server sees them. */
interface Reach {
  readonly entry: RouteEntry
  readonly upstream: Upstream
  readonly kind: Kind
  readonly paths: PathSet
  /** Routes of one host with one rewrite: matching keeps their paths apart, and so does the rewrite. */
  readonly origin: string
  readonly index: number
}

export interface AliasFacts {
  readonly routes: CompiledRoutes
  isAlias(pattern: string): boolean
  /** Names a pattern's line. */
  placeOf(pattern: string): string
}

const REPORTS_MAX = 50

/**
 * Every pair of routes by which one path of a server is reached under different access. An error within one upstream; where two
 * upstreams name one server, the file has given it two faces on purpose, so it is a warning.
 */
export function checkAliases(entries: readonly RouteEntry[], facts: AliasFacts, report: Report, warn: Report): void {
  const known = new Set<string>()
  for (const [server, reaches] of reachesByServer(entries, facts)) {
    const isFolded = reaches.some(({ upstream }) => !upstream.isPathExact)
    eachPair(isFolded ? reaches.map(folded) : reaches, (a, b, strictness) => {
      const found = aliasOf(a, b, strictness, isFolded, server, facts)
      if (found === null || known.has(found.key)) return true
      known.add(found.key)
      const tell = a.upstream === b.upstream ? report : warn
      tell(['routes', found.pattern], found.trouble)
      return known.size < REPORTS_MAX
    })
  }
}

function reachesByServer(entries: readonly RouteEntry[], facts: AliasFacts): ReadonlyMap<string, readonly Reach[]> {
  const byServer = new Map<string, Reach[]>()
  const kinds = new Map<string, Kind>()
  for (const [index, entry] of unlikeHosts(entries, facts).entries()) {
    const { upstream, access, prefixSwap } = entry.route
    if (upstream === null || isAllDenied(access)) continue
    const origin = `${entry.pattern.host ?? ''} ${prefixSwap?.strip ?? ''} ${prefixSwap?.add ?? ''}`
    const paths = pathsBehind(entry)
    const kind = kindOf(entry, paths, facts.isAlias(entry.pattern.text), kinds)
    for (const server of new Set(upstream.servers.map((one) => one.origin))) {
      const reaches = byServer.get(server) ?? []
      if (reaches.length === 0) byServer.set(server, reaches)
      reaches.push({ entry, upstream, kind, paths, origin, index })
    }
  }
  for (const [server, reaches] of byServer) {
    if (reaches.every(({ origin }) => origin === reaches[0]!.origin)) byServer.delete(server)
  }
  return byServer
}

/** Without the lines of hosts that say, path by path, what an earlier host says: whatever holds for that one holds for them. */
function unlikeHosts(entries: readonly RouteEntry[], { isAlias }: AliasFacts): readonly RouteEntry[] {
  const byHost = new Map<string | null, RouteEntry[]>()
  for (const entry of entries) {
    const { host } = entry.pattern
    const listed = byHost.get(host)
    if (listed === undefined) byHost.set(host, [entry])
    else listed.push(entry)
  }
  const known = new Set<string>()
  return [...byHost.values()].flatMap((listed) => {
    const lines = listed.map(({ pattern, route: { upstream, access, prefixSwap } }) => {
      const path = pattern.text.slice(pattern.text.indexOf('/'))
      return JSON.stringify([path, upstream?.id, prefixSwap, isAlias(pattern.text), [...access]])
    })
    const text = lines.sort().join('\n')
    if (known.has(text) && !/host/i.test(text)) return []
    known.add(text)
    return listed
  })
}

function kindOf(entry: RouteEntry, paths: PathSet, isAlias: boolean, kinds: Map<string, Kind>): Kind {
  const asks = JSON.stringify([...entry.route.access])
  const names = asks.includes('"kind":"when"') ? namesOf(entry, paths) : ''
  const key = `${asks} ${isAlias} ${names}`
  const kind = kinds.get(key) ?? { access: entry.route.access, isAlias, names, verdicts: new Map() }
  kinds.set(key, kind)
  return kind
}

function namesOf({ pattern }: RouteEntry, paths: PathSet): string {
  let at = 0
  return `/${paths.segments.map((segment) => (segment === null ? `:${pattern.names[at++]}` : '')).join('/')}`
}

function verdictOf(a: Kind, b: Kind): Verdict {
  const known = a.verdicts.get(b)
  if (known !== undefined) return known
  const strictness = compareAccess(a.access, b.access, a.names === b.names)
  const isMeant = strictness === 'looser' ? a.isAlias : strictness === 'stricter' ? b.isAlias : a.isAlias || b.isAlias
  const verdict = { strictness, isFine: strictness === 'same' || isMeant }
  a.verdicts.set(b, verdict)
  return verdict
}

function pathsBehind({ pattern, route }: RouteEntry): PathSet {
  const { strip, add } = route.prefixSwap ?? NO_SWAP
  const swapped: Segment[] = [...keysOf(add), ...pattern.segments.slice(segmentsOf(strip))]
  return { segments: swapped.length === 0 && !pattern.isTail ? [''] : swapped, isTail: pattern.isTail }
}

const NO_SWAP = { strip: '', add: '' }

/** As a lenient server reads it: a route for `/Docs` reaches `/docs` there, and one for `/docs/` too. */
function folded(reach: Reach): Reach {
  return { ...reach, paths: fold(reach.paths) }
}

function fold({ segments, isTail }: PathSet): PathSet {
  const folded = segments.map((segment) => (segment === null ? null : foldCase(segment)))
  // `/` with `/v2` put in front is `/v2/`, which many routers read as `/v2`.
  if (!isTail && folded.length > 1 && folded.at(-1) === '') folded.pop()
  return { segments: folded, isTail }
}

type Visit = (a: Reach, b: Reach, strictness: Strictness) => boolean

/** Pairs that overlap behind the gateway, do not stand on one host with one rewrite, and are not fine by their kinds. */
function eachPair(reaches: readonly Reach[], visit: Visit): void {
  /** At each end: by kind, and then by origin. */
  const root = emptyNode<Map<Kind, Map<string, Reach[]>>>()
  for (const reach of reaches) {
    const node = nodeFor(root, reach.paths.segments)
    const slot = reach.paths.isTail ? 'tail' : 'end'
    node[slot] ??= new Map()
    const byOrigin = node[slot].get(reach.kind) ?? new Map<string, Reach[]>()
    node[slot].set(reach.kind, byOrigin)
    byOrigin.set(reach.origin, [...(byOrigin.get(reach.origin) ?? []), reach])
  }
  let isOver = false
  for (const a of reaches) {
    eachOverlap(root, a.paths, { within: false, around: false }, (byKind) => {
      for (const [kind, byOrigin] of byKind) {
        const { strictness, isFine } = verdictOf(a.kind, kind)
        if (isFine) continue
        for (const [origin, others] of byOrigin) {
          if (origin === a.origin) continue
          for (const b of others) if (b.index > a.index && !isOver) isOver = !visit(a, b, strictness)
        }
      }
      return !isOver
    })
    if (isOver) return
  }
}

interface Alias {
  readonly key: string
  readonly pattern: string
  readonly trouble: Trouble
}

function aliasOf(
  a: Reach,
  b: Reach,
  strictness: Strictness,
  isFolded: boolean,
  server: string,
  facts: AliasFacts,
): Alias | null {
  const meeting = intersect(a.paths, b.paths)
  if (isTakenElsewhere(a, meeting, isFolded, facts) || isTakenElsewhere(b, meeting, isFolded, facts)) return null
  const [one, other] = [a.entry.pattern, b.entry.pattern]
  const [looser, stricter] = strictness === 'stricter' ? [other, one] : [one, other]
  const isUnknown = strictness === 'unknown'
  const place = facts.placeOf(stricter.text)
  const name = `\`${stricter.text}\`${place === 'policy' ? '' : ` (at ${place})`}`
  const how = isUnknown ? 'in another way' : 'more strictly'
  const on = isUnknown ? 'one of them' : `\`${looser.text}\``
  const upstream = a.upstream === b.upstream ? a.upstream.id : server
  const trouble = {
    message: `\`${looser.text}\` reaches paths of \`${upstream}\` that ${name} guards ${how}: \`${shapeOf(meeting)}\` there`,
    cure: `give both the same \`access\`, or say \`alias: true\` on ${on} if that is meant`,
    isAboutKey: true,
  }
  return { key: `${one.text} ${other.text}`, pattern: looser.text, trouble }
}

/** Does a more specific route of the same host take all of these paths, in front of the gateway? */
function isTakenElsewhere({ entry, upstream }: Reach, paths: PathSet, isFolded: boolean, facts: AliasFacts): boolean {
  if (isFolded && upstream.isPathExact) return false // its table tells letters apart that the server behind may not
  const { pattern, route } = entry
  const { strip, add } = route.prefixSwap ?? NO_SWAP
  const rest = paths.segments.slice(segmentsOf(add))
  // Behind `/api` and `/api/` alike stands `/`, so which of the two it was cannot be told.
  if (strip !== '' && rest.length === 1 && rest[0] === '') return false
  const same = isFolded ? fold : (set: PathSet) => set
  const front = same({ segments: [...keysOf(strip), ...rest], isTail: paths.isTail })
  return facts.routes.covering(pattern.host, front, isFolded).some((other) => {
    return other !== entry && other.pattern.host === pattern.host && covers(same(pattern), same(other.pattern))
  })
}
