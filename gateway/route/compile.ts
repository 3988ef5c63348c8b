/**
 * Compiles patterns into a table that answers with the most specific route, in whatever order the file lists them.
 * Two patterns that overlap with neither more specific are an error, unless their intersection is listed too (it is always one pattern).
 */

import type { Route } from '../rules.ts'
import { isOwnPath, type RouteTable } from '../snapshot.ts'
import { type OwnHost, suffixOf, wildcardSuffix } from './host.ts'
import { find, type Lookup, layOut, nameLists } from './lookup.ts'
import { covers, foldCase, type PathSet, type Pattern, shapeOf } from './pattern.ts'
import { comparable, covering, eachOverlap, emptyNode, intersect, isShadowed, type Node, nodeFor } from './trie.ts'

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

/** The table, and what its maker may ask of it. */
export interface CompiledRoutes extends RouteTable {
  /** Is this lower-case authority the origin's, or one that a pattern names? */
  isServed(authority: string): boolean
  /** The routes that match every path of a set on a pattern's host. Folded: without regard to case. */
  covering(host: Pattern['host'], paths: PathSet, isFolded?: boolean): readonly RouteEntry[]
  /** Do more specific routes take every path of this one? True only where that is certain. */
  isShadowed(pattern: Pattern): boolean
}

/** The patterns of one host, as written and with their letters folded. */
interface HostTable {
  readonly exact: Node<RouteEntry>
  readonly lenient: Node<RouteEntry>
  readonly entries: RouteEntry[]
}

/** What a look-up yields. */
interface Leaf {
  readonly route: Route
  /** As the pattern's; null where it has none. */
  readonly names: Pattern['names'] | null
}

interface HostLookup {
  readonly exact: Lookup<Leaf>
  readonly lenient: Lookup<Leaf>
}

/** Conflicts reported at once; a file with more has one mistake in many places. */
const CONFLICTS_MAX = 50

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({})

export function compileRoutes(
  entries: readonly RouteEntry[],
  own: OwnHost,
): CompiledRoutes | { readonly conflicts: RouteConflict[] } {
  const named = new Map([[own.authority, emptyTable()]])
  const wildcards = new Map<string, HostTable>()
  const conflicts: RouteConflict[] = []
  let isCaseMixed = false
  for (const entry of entries) {
    const table = tableFor(entry.pattern.host ?? own.authority, named, wildcards)
    table.entries.push(entry)
    const { segments } = entry.pattern
    const twin = insert(table.exact, entry, segments)
    if (twin !== null) conflicts.push(duplicate(entry, twin))
    const folded = segments.map((segment) => (segment === null ? null : foldCase(segment)))
    isCaseMixed ||= folded.some((segment, at) => segment !== segments[at])
    const alike = insert(table.lenient, entry, folded)
    if (alike !== null && twin === null && !(isExact(entry) && isExact(alike))) conflicts.push(sameFolded(entry, alike))
  }
  collectConflicts(named, wildcards, conflicts)
  if (conflicts.length > 0) return { conflicts: conflicts.slice(0, CONFLICTS_MAX) }

  const wildcardOf = <T>(tables: ReadonlyMap<string, T>, authority: string): T | undefined => {
    if (tables.size === 0) return undefined
    const suffix = suffixOf(authority)
    return suffix === null ? undefined : tables.get(suffix)
  }
  const [lookups, wildcardLookups] = [lookupsOf(named), lookupsOf(wildcards)]
  const ownLookup = lookups.get(own.authority)
  /** A host that is named comes first: where both match, its patterns are the more specific. */
  const tablesOf = (host: string): readonly HostTable[] => {
    const suffix = wildcardSuffix(host)
    const tables = suffix === null ? [named.get(host), wildcardOf(wildcards, host)] : [wildcards.get(suffix)]
    return tables.filter((table) => table !== undefined)
  }
  return {
    all: entries.map(({ route }) => route),
    isCaseMixed,
    find(authority, path, isLenient = false) {
      const table = authority === own.authority ? ownLookup : lookups.get(authority)
      const found = table === undefined ? null : findLeaf(table, path, isLenient)
      if (found !== null) return found
      const wildcard = wildcardOf(wildcardLookups, authority)
      return wildcard === undefined ? null : findLeaf(wildcard, path, isLenient)
    },
    isOwn: (authority, path) => authority === own.authority && isOwnPath(path),
    isServed: (authority) =>
      authority === own.authority || named.has(authority) || wildcardOf(wildcards, authority) !== undefined,
    covering(host, paths, isFolded = false) {
      const tables = tablesOf(host ?? own.authority)
      return tables.flatMap((table) => covering(isFolded ? table.lenient : table.exact, paths))
    },
    isShadowed: (pattern) => isShadowed(tablesOf(pattern.host ?? own.authority)[0]!.exact, pattern),
  }
}

function emptyTable(): HostTable {
  return { exact: emptyNode(), lenient: emptyNode(), entries: [] }
}

function tableFor(host: string, named: Map<string, HostTable>, wildcards: Map<string, HostTable>): HostTable {
  const suffix = wildcardSuffix(host)
  const [tables, key] = suffix === null ? [named, host] : [wildcards, suffix]
  const known = tables.get(key)
  if (known !== undefined) return known
  const table = emptyTable()
  tables.set(key, table)
  return table
}

/** Adds a route; the one that already stood for the same paths, if any. */
function insert(root: Node<RouteEntry>, entry: RouteEntry, segments: Pattern['segments']): RouteEntry | null {
  const node = nodeFor(root, segments)
  const slot = entry.pattern.isTail ? 'tail' : 'end'
  const twin = node[slot]
  if (twin !== null) return twin
  node[slot] = entry
  return null
}

function lookupsOf(tables: ReadonlyMap<string, HostTable>): ReadonlyMap<string, HostLookup> {
  const namesOf = nameLists()
  const leafOf = ({ route, pattern }: RouteEntry): Leaf => ({ route, names: namesOf(pattern) })
  return new Map(
    [...tables].map(([host, { exact, lenient }]) => {
      return [host, { exact: layOut(exact, leafOf), lenient: layOut(lenient, leafOf) }]
    }),
  )
}

function findLeaf({ exact, lenient }: HostLookup, path: string, isLenient: boolean): ReturnType<RouteTable['find']> {
  const captured: string[] = []
  const leaf = find(isLenient ? lenient : exact, path, isLenient, captured)
  if (leaf === null) return null
  const { route, names } = leaf
  if (names === null) return { route, params: NO_PARAMS }
  const params: Record<string, string> = Object.create(null)
  for (let at = 0; at < names.length; at += 1) if (names[at] !== '') params[names[at]!] = captured[at]!
  return { route, params }
}

/** Within a host nested patterns are fine; beneath a wildcard only what lies within one of its patterns is. */
function collectConflicts(
  named: ReadonlyMap<string, HostTable>,
  wildcards: ReadonlyMap<string, HostTable>,
  conflicts: RouteConflict[],
): void {
  for (const table of [...named.values(), ...wildcards.values()]) {
    for (const entry of table.entries) collectOverlaps(table, table, entry, conflicts)
  }
  for (const [authority, table] of named) {
    const suffix = wildcards.size === 0 ? null : suffixOf(authority)
    const wildcard = suffix === null ? undefined : wildcards.get(suffix)
    if (wildcard === undefined) continue
    for (const entry of table.entries) collectOverlaps(table, wildcard, entry, conflicts)
  }
}

/** What of `others` overlaps an entry of `table` with neither more specific, and the intersection is not listed in `table`. */
function collectOverlaps(table: HostTable, others: HostTable, entry: RouteEntry, conflicts: RouteConflict[]): void {
  const { pattern } = entry
  const isOneHost = table === others
  eachOverlap(others.exact, pattern, { within: isOneHost, around: true }, (other) => {
    if (conflicts.length >= CONFLICTS_MAX) return false
    if (other === entry || (isOneHost ? comparable(pattern, other.pattern) : covers(other.pattern, pattern)))
      return true
    const meeting = intersect(pattern, other.pattern)
    const node = nodeAt(table.exact, meeting)
    if (node !== null && (meeting.isTail ? node.tail : node.end) !== null) return true
    const isKnown = conflicts.some((known) => known.pattern === other.pattern.text && known.other === pattern.text)
    if (!isKnown) conflicts.push(clash(pattern, other.pattern, meeting))
    return true
  })
}

function nodeAt(root: Node<RouteEntry>, { segments }: PathSet): Node<RouteEntry> | null {
  let node: Node<RouteEntry> | null = root
  for (const segment of segments) {
    node = segment === null ? node.param : (node.literals.get(segment) ?? null)
    if (node === null) return null
  }
  return node
}

function clash(pattern: Pattern, other: Pattern, meeting: PathSet): RouteConflict {
  const text = (pattern.host ?? '') + shapeOf(meeting)
  return {
    pattern: pattern.text,
    other: other.text,
    message: `\`${pattern.text}\` and \`${other.text}\` overlap and neither is more specific`,
    cure: `say what holds where both match by adding:\n  ${text.startsWith('*') ? `"${text}"` : text}: { to: ..., access: ... }`,
  }
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
