/** Which entries rest on a name of the revocation log: a look-up, however many are open. */

import type { Proof } from '../model.ts'

interface Resting {
  readonly proofs: readonly Proof[]
}

export interface NameIndex<Entry extends Resting> {
  add(entry: Entry): void
  /** With the proofs it was added with. */
  delete(entry: Entry): void
  of(name: string): Iterable<Entry>
  /** Names. */
  readonly size: number
}

export function nameIndex<Entry extends Resting>(): NameIndex<Entry> {
  const byName = new Map<string, Set<Entry>>()
  return {
    add(entry) {
      for (const { names } of entry.proofs) {
        for (const name of names) {
          const entries = byName.get(name)
          if (entries === undefined) byName.set(name, new Set([entry]))
          else entries.add(entry)
        }
      }
    },
    delete(entry) {
      for (const { names } of entry.proofs) {
        for (const name of names) {
          const entries = byName.get(name)
          if (entries?.delete(entry) === true && entries.size === 0) byName.delete(name)
        }
      }
    },
    of: (name) => byName.get(name) ?? [],
    get size() {
      return byName.size
    },
  }
}
