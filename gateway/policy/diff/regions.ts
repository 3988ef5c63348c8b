/**
 * Finds every pair of lines that some request meets, one in each of two policies. Segments that no pattern names are all alike to
 * both, so one fresh word stands for them, and a walk along the patterns of both at once meets every kind of path there is.
 */

import { portOf } from '../../route/host.ts'
import { encodeLiteral, type Pattern, parsePattern, type Segment } from '../../route/pattern.ts'
import type { Route } from '../../rules.ts'
import type { Snapshot } from '../../snapshot.ts'

/** A pattern of routes: a host and the paths there. */
export interface Region {
  /** Empty for the origin's own; `*.example.com` for one label in front. Without the port that the origin has too. */
  readonly host: string
  readonly segments: readonly Segment[]
  readonly isTail: boolean
}

export interface ComparedPolicy {
  readonly snapshot: Snapshot
  readonly patterns: readonly string[]
}

export interface Meeting {
  readonly before: Route | null
  readonly after: Route | null
  /** Both match the same paths of the same hosts. */
  readonly isOneLine: boolean
  /** All that both match; what is more specific in either policy is met by other lines there. */
  readonly region: Region
}

/** What is found, and whether all was looked at: two policies can be shaped so that their mix has too many kinds of paths. */
export interface Meetings {
  readonly found: readonly Meeting[]
  readonly isComplete: boolean
}

interface Node {
  readonly literals: Map<string, Node>
  param: Node | null
}

const LOOKUPS_MAX = 3_000_000
/** A label and a segment that no policy names, as tested below. */
const FRESH = 'x-any'

export function meetingsOf(before: ComparedPolicy, after: ComparedPolicy): Meetings {
  const regions = new Map<string, Region>()
  for (const { snapshot, patterns } of [before, after]) {
    for (const text of patterns) regions.set(keyOf(snapshot, text), regionOf(text, snapshot))
  }
  const all = [...new Map([...regions.values()].map((region) => [regionText(region), region])).values()]
  const fresh = freshWord(all)
  const pairs = new Map<Route | null, Set<Route | null>>()
  const found: Meeting[] = []
  let lookups = 0

  const meet = (host: string, path: string): void => {
    lookups += 2
    const [was, is] = [before, after].map(({ snapshot }) => {
      return snapshot.routes.find(authorityOf(host, snapshot), path)?.route ?? null
    }) as [Route | null, Route | null]
    if (was === null && is === null) return
    const known = pairs.get(was) ?? new Set()
    if (known.has(is)) return
    pairs.set(was, known.add(is))
    const one = was === null ? null : regions.get(keyOf(before.snapshot, was.id))!
    const other = is === null ? null : regions.get(keyOf(after.snapshot, is.id))!
    const region = one === null ? other! : other === null ? one : intersect(one, other)
    const isOneLine = one !== null && other !== null && regionText(one) === regionText(other)
    found.push({ before: was, after: is, region, isOneLine })
  }
  const walk = (nodes: readonly Node[], host: string, path: string): void => {
    const literals = new Set(nodes.flatMap((node) => [...node.literals.keys()]))
    for (const segment of literals.add(fresh).add('')) {
      if (lookups > LOOKUPS_MAX) return
      const below: Node[] = []
      for (const node of nodes) {
        const literal = node.literals.get(segment)
        if (literal !== undefined) below.push(literal)
        if (node.param !== null && segment !== '') below.push(node.param)
      }
      const next = `${path}/${segment === '' ? '' : encodeLiteral(segment)}`
      meet(host, next)
      if (below.length > 0) walk(below, host, next)
    }
  }
  for (const [host, root] of rootsOf(all, fresh)) walk([root], host, '')
  return { found, isComplete: lookups <= LOOKUPS_MAX }
}

/** Patterns mean what they mean at one origin, so they are told apart by it. */
function keyOf({ origin }: Snapshot, text: string): string {
  return `${origin} ${text}`
}

/** Reads the text of a pattern that a policy was compiled from. */
function regionOf(text: string, { admission }: Snapshot): Region {
  const { host, segments, isTail } = parsePattern(text, admission) as Pattern
  return { host: withoutPort(host ?? '', portOf(admission.authority)), segments, isTail }
}

/** The same hosts behind another port are the same hosts. */
function withoutPort(host: string, port: string): string {
  return port !== '' && host.endsWith(port) ? host.slice(0, -port.length) : host
}

function authorityOf(host: string, { admission }: Snapshot): string {
  if (host === '') return admission.authority
  return portOf(host) === '' ? host + portOf(admission.authority) : host
}

/** `books.example.com/api/*`, with `*` for every parameter: names differ between files, segments do not. */
export function regionText({ host, segments, isTail }: Region): string {
  const path = segments.map((segment) => `/${segment === null ? '*' : encodeLiteral(segment)}`).join('')
  return `${host}${isTail ? `${path}/**` : path === '' ? '/' : path}`
}

/** For two that have a request in common. */
function intersect(a: Region, b: Region): Region {
  const [long, short] = a.segments.length >= b.segments.length ? [a, b] : [b, a]
  const segments = long.segments.map((segment, at) => segment ?? short.segments[at] ?? null)
  const host = a.host.startsWith('*') ? b.host : a.host
  return { host, segments, isTail: long.isTail && short.isTail }
}

/** A host of each kind with the patterns that stand for it. */
function rootsOf(regions: readonly Region[], fresh: string): ReadonlyMap<string, Node> {
  const hosts = new Set(regions.map(({ host }) => (host.startsWith('*') ? `${fresh}${host.slice(1)}` : host)))
  const byHost = Map.groupBy(regions, ({ host }) => host)
  const roots = new Map<string, Node>()
  for (const host of hosts) {
    const root: Node = { literals: new Map(), param: null }
    const wildcard = `*${host.slice(host.indexOf('.'))}`
    for (const region of [...(byHost.get(host) ?? []), ...(byHost.get(wildcard) ?? [])]) insert(root, region.segments)
    roots.set(host, root)
  }
  return roots
}

function insert(root: Node, segments: readonly Segment[]): void {
  let node = root
  for (const segment of segments) {
    let next = segment === null ? node.param : node.literals.get(segment)
    if (next === null || next === undefined) {
      next = { literals: new Map(), param: null }
      if (segment === null) node.param = next
      else node.literals.set(segment, next)
    }
    node = next
  }
}

function freshWord(regions: readonly Region[]): string {
  const words = new Set(regions.flatMap(({ host, segments }) => [...host.split('.'), ...segments]))
  let word = FRESH
  while (words.has(word)) word += 'x'
  return word
}
