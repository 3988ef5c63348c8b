/**
 * The patterns of one host laid out for look-ups: a walk down their tree, whatever their number. Numbers side by side stand in
 * place of objects all over the heap, for with many routes a look-up costs the memory it touches.
 */

import { lenientKey, type Pattern, segmentKey } from './pattern.ts'
import type { Node } from './trie.ts'

/** Nodes and leaves by number; the root is node 0. */
export interface Lookup<T> {
  /** Three of each node: the node below its parameter, the leaf that ends there, the leaf of all below. 0 is none, 1 the first. */
  readonly ways: Int32Array
  /** Of each node: the nodes below its literals. */
  readonly literals: readonly (ReadonlyMap<string, number> | null)[]
  readonly leaves: readonly T[]
}

const WAYS = 3
const PARAM = 0
const END = 1
const TAIL = 2

export function layOut<F, T>(root: Node<F>, leafOf: (found: F) => T): Lookup<T> {
  const ways: number[] = []
  const literals: (ReadonlyMap<string, number> | null)[] = []
  const leaves: T[] = []
  const keep = (found: F | null): number => (found === null ? 0 : leaves.push(leafOf(found)))
  /** Depth first, so that what is looked at one after the other stands side by side. */
  const lay = (node: Node<F>): number => {
    const number = literals.push(null) - 1
    ways.push(0, keep(node.end), keep(node.tail))
    if (node.param !== null) ways[number * WAYS + PARAM] = lay(node.param) + 1
    if (node.literals.size > 0) {
      literals[number] = new Map([...node.literals].map(([literal, child]) => [literal, lay(child)]))
    }
    return number
  }
  lay(root)
  return { ways: Int32Array.from(ways), literals, leaves }
}

/** The leaf of the most specific pattern; `captured` gets the parameters on the way down. */
export function find<T>(lookup: Lookup<T>, path: string, isLenient: boolean, captured: string[]): T | null {
  const found = path.startsWith('/') ? descend(lookup, 0, path, 0, isLenient, captured) : 0
  return found === 0 ? null : lookup.leaves[found - 1]!
}

/**
 * Literal before parameter before tail, with backtracking: since intersections are listed, the first hit is the most specific.
 * `at` is the slash in front of the next segment, or the end of the path. Yields one more than the number of a leaf, or 0.
 */
function descend(
  lookup: Lookup<unknown>,
  node: number,
  path: string,
  at: number,
  isLenient: boolean,
  captured: string[],
): number {
  const { ways } = lookup
  const first = node * WAYS
  if (at >= path.length) return ways[first + END]! || ways[first + TAIL]!
  const literals = lookup.literals[node]!
  const param = ways[first + PARAM]!
  if (literals !== null || param !== 0) {
    const slash = path.indexOf('/', at + 1)
    const end = slash < 0 ? path.length : slash
    const raw = path.slice(at + 1, end)
    const key = isLenient ? lenientKey(raw) : segmentKey(raw)
    const literal = literals?.get(key)
    if (literal !== undefined) {
      const found = descend(lookup, literal, path, end, isLenient, captured)
      if (found !== 0) return found
    }
    if (param !== 0 && key !== '') {
      const depth = captured.length
      captured.push(key)
      const found = descend(lookup, param - 1, path, end, isLenient, captured)
      if (found !== 0) return found
      captured.length = depth
    }
  }
  return ways[first + TAIL]!
}

/**
 * Lists of names, one for all patterns that name alike; null for one without names. As the engine keeps keys of objects, since
 * a cut-out of the file would be looked up among these again with every request.
 */
export function nameLists(): (pattern: Pattern) => Pattern['names'] | null {
  const known = new Map<string, Pattern['names']>()
  return ({ names }) => {
    if (names.every((name) => name === '')) return null
    const text = names.join('/')
    const same = known.get(text) ?? names.map((name) => Object.keys({ [name]: 0 })[0]!)
    known.set(text, same)
    return same
  }
}
