/** Patterns of one host as a tree of segments, for questions about the patterns themselves; requests are looked up in lookup.ts. */

import { covers, type PathSet, type Segment } from './pattern.ts'

export interface Node<T> {
  readonly literals: Map<string, Node<T>>
  param: Node<T> | null
  end: T | null
  tail: T | null
}

export function emptyNode<T>(): Node<T> {
  return { literals: new Map(), param: null, end: null, tail: null }
}

/** The node where a pattern ends, made where it is missing. */
export function nodeFor<T>(root: Node<T>, segments: readonly Segment[]): Node<T> {
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
  return node
}

/**
 * Visits all that overlaps a set of paths until `visit` says false. `isNested` skips what lies within it or around it as far as
 * the walk can tell: whole subtrees then, which keeps a table of nested patterns cheap.
 */
export function eachOverlap<T>(
  root: Node<T>,
  { segments, isTail }: PathSet,
  isNested: { readonly within: boolean; readonly around: boolean },
  visit: (found: T) => boolean,
): void {
  /** `isWider`, `isNarrower`: the set may still hold, or lie within, what is below `node`. */
  const walk = (node: Node<T>, depth: number, isWider: boolean, isNarrower: boolean): boolean => {
    const isBelow = depth >= segments.length
    if (isWider && isTail && isBelow) return true
    if (node.tail !== null && !isNarrower && !visit(node.tail)) return false
    if (isBelow) {
      if (node.end !== null && !isWider && !(isNarrower && !isTail) && !visit(node.end)) return false
      if (!isTail) return true
      for (const child of node.literals.values()) if (!walk(child, depth + 1, isWider, false)) return false
      return node.param === null || walk(node.param, depth + 1, isWider, false)
    }
    const segment = segments[depth]!
    if (segment === null) {
      for (const [literal, child] of node.literals) {
        if (literal !== '' && !walk(child, depth + 1, isWider, false)) return false
      }
      return node.param === null || walk(node.param, depth + 1, isWider, isNarrower)
    }
    const child = node.literals.get(segment)
    if (child !== undefined && !walk(child, depth + 1, isWider, isNarrower)) return false
    return node.param === null || segment === '' || walk(node.param, depth + 1, false, isNarrower)
  }
  walk(root, 0, isNested.within, isNested.around)
}

/** All that matches every path of a set, the set's own pattern included. */
export function covering<T>(root: Node<T>, { segments, isTail }: PathSet): readonly T[] {
  const found: T[] = []
  const walk = (node: Node<T>, depth: number): void => {
    if (node.tail !== null) found.push(node.tail)
    if (depth === segments.length) {
      if (!isTail && node.end !== null) found.push(node.end)
      return
    }
    const segment = segments[depth]!
    const child = segment === null ? undefined : node.literals.get(segment)
    if (child !== undefined) walk(child, depth + 1)
    if (node.param !== null && segment !== '') walk(node.param, depth + 1)
  }
  walk(root, 0)
  return found
}

/** Do more specific patterns take every path of this one, empty segments aside? True only where that is certain. */
export function isShadowed<T>(root: Node<T>, { segments, isTail }: PathSet): boolean {
  const node = nodeFor(root, segments)
  return isTail && isTakenBelow(node)
}

function isTakenBelow<T>({ end, param }: Node<T>): boolean {
  return end !== null && param !== null && (param.tail !== null || isTakenBelow(param))
}

/** The paths that both match, for two sets that overlap: again one pattern. */
export function intersect(a: PathSet, b: PathSet): PathSet {
  const [long, short] = a.segments.length >= b.segments.length ? [a, b] : [b, a]
  const segments = long.segments.map((segment, at) => segment ?? short.segments[at] ?? null)
  return { segments, isTail: long.isTail && short.isTail }
}

export function comparable(a: PathSet, b: PathSet): boolean {
  return covers(a, b) || covers(b, a)
}
