/**
 * Compiles patterns into a table that answers with the most specific route, in whatever order the file lists them.
 * Two patterns that overlap with neither more specific are an error, unless their intersection is listed too (it is always one pattern).
 */

import type { Route } from '../model.ts'
import type { RouteTable } from '../snapshot.ts'
import { lenientKey, type Pattern, type Segment, segmentKey, shapeOf } from './pattern.ts'

export interface RouteEntry {
  readonly pattern: Pattern
  readonly route: Route
}

/** What is wrong between patterns: `pattern` is where to look, `other` the line it clashes with. */
export interface RouteConflict {
  readonly pattern: string
  readonly other: string
  readonly message: string
  readonly cure: string
}

interface Leaf {
  readonly entry: RouteEntry
  readonly hasNames: boolean
}

interface Node {
  readonly literals: Map<string, Node>
  param: Node | null
  end: Leaf | null
  tail: Leaf | null
}

/** Conflicts reported at once; a file with more has one mistake in many places. */
const CONFLICTS_MAX = 50
const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({})

export function compileRoutes(entries: readonly RouteEntry[]): RouteTable | { readonly conflicts: RouteConflict[] } {
  const exact = emptyNode()
  const lenient = emptyNode()
  const conflicts: RouteConflict[] = []
  const shapes = new Map(entries.map((entry) => [shapeOf(entry.pattern), entry]))
  let isCaseMixed = false
  for (const entry of entries) {
    const twin = insert(exact, entry, entry.pattern.segments)
    if (twin !== null) conflicts.push(duplicate(entry, twin))
    const folded = entry.pattern.segments.map((segment) => (segment === null ? null : segment.toLowerCase()))
    isCaseMixed ||= folded.some((segment, at) => segment !== entry.pattern.segments[at])
    const alike = insert(lenient, entry, folded)
    if (alike !== null && twin === null && !(isExact(entry) && isExact(alike))) conflicts.push(sameFolded(entry, alike))
  }
  for (const entry of entries) {
    if (conflicts.length >= CONFLICTS_MAX) break
    collectOverlaps(exact, entry, shapes, conflicts)
  }
  if (conflicts.length > 0) return { conflicts: conflicts.slice(0, CONFLICTS_MAX) }
  return {
    isCaseMixed,
    find: (path, isLenient = false) => findLeaf(isLenient ? lenient : exact, path, isLenient),
  }
}

function emptyNode(): Node {
  return { literals: new Map(), param: null, end: null, tail: null }
}

/** Adds a route; the one that already stood for the same paths, if any. */
function insert(root: Node, entry: RouteEntry, segments: readonly Segment[]): RouteEntry | null {
  let node = root
  for (const segment of segments) {
    if (segment === null) {
      node.param ??= emptyNode()
      node = node.param
    } else {
      let next = node.literals.get(segment)
      if (next === undefined) {
        next = emptyNode()
        node.literals.set(segment, next)
      }
      node = next
    }
  }
  const slot = entry.pattern.isTail ? 'tail' : 'end'
  const twin = node[slot]
  if (twin !== null) return twin.entry
  node[slot] = { entry, hasNames: entry.pattern.names.some((name) => name !== '') }
  return null
}

/** Literal before parameter before tail, with backtracking: since intersections are listed, the first hit is the most specific. */
function findLeaf(root: Node, path: string, isLenient: boolean): ReturnType<RouteTable['find']> {
  const captured: string[] = []
  const leaf = path.startsWith('/') ? descend(root, path, 0, isLenient, captured) : null
  if (leaf === null) return null
  const { route, pattern } = leaf.entry
  if (!leaf.hasNames) return { route, params: NO_PARAMS }
  const params: Record<string, string> = Object.create(null)
  for (const [at, name] of pattern.names.entries()) if (name !== '') params[name] = captured[at]!
  return { route, params }
}

/** `at` is the slash in front of the next segment, or the end of the path. `captured` holds the parameters on the way down. */
function descend(node: Node, path: string, at: number, isLenient: boolean, captured: string[]): Leaf | null {
  if (at >= path.length) return node.end ?? node.tail
  if (node.literals.size > 0 || node.param !== null) {
    const slash = path.indexOf('/', at + 1)
    const end = slash < 0 ? path.length : slash
    const raw = path.slice(at + 1, end)
    const key = isLenient ? lenientKey(raw) : segmentKey(raw)
    const literal = node.literals.get(key)
    if (literal !== undefined) {
      const leaf = descend(literal, path, end, isLenient, captured)
      if (leaf !== null) return leaf
    }
    if (node.param !== null && key !== '') {
      const depth = captured.length
      captured.push(key)
      const leaf = descend(node.param, path, end, isLenient, captured)
      if (leaf !== null) return leaf
      captured.length = depth
    }
  }
  return node.tail
}

/** Walks the trie along one pattern and keeps what overlaps it with neither more specific. Whole subtrees it covers are skipped. */
function collectOverlaps(
  root: Node,
  entry: RouteEntry,
  shapes: ReadonlyMap<string, RouteEntry>,
  conflicts: RouteConflict[],
): void {
  const { pattern } = entry
  /** `isWider` and `isNarrower`: what `pattern` may still be, compared with the patterns below `node`. */
  const walk = (node: Node, depth: number, isWider: boolean, isNarrower: boolean): void => {
    if (conflicts.length >= CONFLICTS_MAX || (isWider && pattern.isTail && depth >= pattern.segments.length)) return
    if (node.tail !== null && !isNarrower) clash(node.tail.entry)
    if (depth >= pattern.segments.length) {
      if (node.end !== null && !isWider && !isNarrower) clash(node.end.entry)
      if (!pattern.isTail) return
      for (const child of node.literals.values()) walk(child, depth + 1, isWider, false)
      if (node.param !== null) walk(node.param, depth + 1, isWider, false)
      return
    }
    const segment = pattern.segments[depth]!
    if (segment === null) {
      for (const [literal, child] of node.literals) if (literal !== '') walk(child, depth + 1, isWider, false)
      if (node.param !== null) walk(node.param, depth + 1, isWider, isNarrower)
    } else {
      const child = node.literals.get(segment)
      if (child !== undefined) walk(child, depth + 1, isWider, isNarrower)
      if (node.param !== null && segment !== '') walk(node.param, depth + 1, false, isNarrower)
    }
  }
  const clash = (other: RouteEntry): void => {
    if (other === entry || comparable(pattern, other.pattern)) return
    if (shapeOf(other.pattern) < shapeOf(pattern)) return // each pair is met from both sides; one report is enough
    const meeting = shapeOf(intersect(pattern, other.pattern))
    if (shapes.has(meeting)) return
    conflicts.push({
      pattern: pattern.text,
      other: other.pattern.text,
      message: `\`${pattern.text}\` and \`${other.pattern.text}\` overlap and neither is more specific`,
      cure: `say what holds where both match by adding:\n  ${meeting}: { to: ..., access: ... }`,
    })
  }
  walk(root, 0, true, true)
}

function comparable(a: Pattern, b: Pattern): boolean {
  return covers(a, b) || covers(b, a)
}

/** Does `wide` match every path that `narrow` matches? */
function covers(wide: Pattern, narrow: Pattern): boolean {
  if (narrow.segments.length < wide.segments.length) return false
  if (!wide.isTail && (narrow.isTail || narrow.segments.length > wide.segments.length)) return false
  return wide.segments.every((segment, at) => {
    const other = narrow.segments[at]!
    return segment === null ? other !== '' : segment === other
  })
}

/** The paths that both match, for two patterns that overlap: again one pattern. */
function intersect(a: Pattern, b: Pattern): Pattern {
  const [long, short] = a.segments.length >= b.segments.length ? [a, b] : [b, a]
  const segments = long.segments.map((segment, at) => segment ?? short.segments[at] ?? null)
  return { ...long, segments, isTail: long.isTail && short.isTail }
}

function isExact(entry: RouteEntry): boolean {
  return entry.route.upstream?.isPathExact === true
}

function duplicate(entry: RouteEntry, twin: RouteEntry): RouteConflict {
  const [pattern, other] = [entry.pattern.text, twin.pattern.text]
  return {
    pattern,
    other,
    message: `\`${pattern}\` matches the same paths as \`${other}\``,
    cure: 'remove one of them',
  }
}

function sameFolded(entry: RouteEntry, twin: RouteEntry): RouteConflict {
  const [pattern, other] = [entry.pattern.text, twin.pattern.text]
  return {
    pattern,
    other,
    message: `\`${pattern}\` and \`${other}\` differ in upper and lower case only`,
    cure: 'keep one; where the upstream tells them apart, say `paths: exact` on it',
  }
}
