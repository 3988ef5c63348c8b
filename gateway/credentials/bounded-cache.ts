/**
 * A Map bounded in entries and bytes that keeps what is used: full, it drops the oldest entry that nobody asked for since it
 * was last looked at (second chance). A hit costs one look-up and one bit, and moves nothing.
 */

export interface BoundedCache<V extends Bounded> {
  get(key: string): V | undefined
  set(key: string, value: V): void
  delete(key: string): void
  /** Removes every entry of which this is true. */
  deleteWhere(isGone: (value: V) => boolean): void
  readonly size: number
  readonly bytes: number
}

export interface Bounded {
  /** What it takes in memory, as nearly as its maker can say. Never changes. */
  readonly bytes: number
  /** Set by whoever uses it; cleared when it is spared for that. */
  isUsed: boolean
}

/** However many were used, one new entry spares no more than these: the time that one insertion takes has a bound. */
const SPARED_MAX = 64

export function boundedCache<V extends Bounded>(entriesMax: number, bytesMax: number): BoundedCache<V> {
  const entries = new Map<string, V>()
  let bytes = 0

  return {
    get: (key) => entries.get(key),
    set(key, value) {
      remove(key)
      if (value.bytes > bytesMax) return
      let spared = 0
      while (entries.size >= entriesMax || bytes + value.bytes > bytesMax) spared = dropOne(spared)
      entries.set(key, value)
      bytes += value.bytes
    },
    delete: remove,
    deleteWhere(isGone) {
      for (const [key, value] of entries) if (isGone(value)) remove(key)
    },
    get size() {
      return entries.size
    },
    get bytes() {
      return bytes
    },
  }

  function remove(key: string): void {
    const value = entries.get(key)
    if (value === undefined) return
    entries.delete(key)
    bytes -= value.bytes
  }

  function dropOne(spared: number): number {
    for (const [key, value] of entries) {
      if (!value.isUsed || spared >= SPARED_MAX) {
        remove(key)
        return spared
      }
      value.isUsed = false
      entries.delete(key) // re-inserted last
      entries.set(key, value)
      spared += 1
    }
    return spared
  }
}
