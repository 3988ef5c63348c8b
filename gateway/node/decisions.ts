/** The newest refusals of this node, each as its line of the log: for whoever comes with a request id and asks why. */

import type { AccessRecord } from '../model.ts'

export interface RecentDecisions {
  /** Keeps what was refused or failed, in place of the oldest. */
  keep(record: AccessRecord): void
  /** A `RecordedDecision` as JSON, or null when it is not here. */
  find(requestId: string): string | null
  readonly size: number
}

const DECISIONS_COUNT_MAX = 10_000
const DECISIONS_BYTES_MAX = 16 * 1024 * 1024

/** Kept as text: its length is known, and the collector has one object to look at where there were dozens. */
export function recentDecisions(countMax = DECISIONS_COUNT_MAX, bytesMax = DECISIONS_BYTES_MAX): RecentDecisions {
  const byId = new Map<string, string>()
  let bytes = 0
  return {
    keep(record) {
      if (record.reason === null) return
      const text = JSON.stringify(record)
      byId.set(record.requestId, text)
      bytes += sizeOf(text)
      for (const [id, oldest] of byId) {
        if (byId.size <= countMax && bytes <= bytesMax) return
        byId.delete(id)
        bytes -= sizeOf(oldest)
      }
    },
    find: (requestId) => byId.get(requestId) ?? null,
    get size() {
      return byId.size
    },
  }
}

/** At most: text of Latin letters takes half of it. */
function sizeOf(text: string): number {
  return text.length * 2
}
