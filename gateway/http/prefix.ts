/** The constant prefix swap of a rewrite (SECURITY rule 5): so many segments are taken from the front of a path, a text is put there. */

import { Refusal } from '../model.ts'
import { parseTarget } from './target.ts'

export interface PrefixSwap {
  /** `/api`, or nothing. */
  readonly strip: string
  readonly add: string
}

/**
 * The path an upstream sees for one that met a pattern beginning with `strip`. Null when the canonicalizer would not have let
 * it in as it is: what is left of `/api//x` begins with `//`, which is another host to some.
 */
export function swapPrefix(path: string, { strip, add }: PrefixSwap): string | null {
  const rest = path.slice(endOf(path, segmentsOf(strip)))
  const swapped = add + rest || '/'
  if (swapped.startsWith('//')) return null
  const target = parseTarget(swapped, true)
  return target instanceof Refusal || target.path !== swapped ? null : swapped
}

/** `/a/b` has two. */
export function segmentsOf(prefix: string): number {
  return prefix === '' ? 0 : prefix.split('/').length - 1
}

/** Counted and not compared: the path met the pattern, perhaps in another spelling of the same segments. */
function endOf(path: string, segments: number): number {
  let end = 0
  for (let passed = 0; passed < segments; passed += 1) {
    const slash = path.indexOf('/', end + 1)
    if (slash < 0) return path.length
    end = slash
  }
  return end
}
