/** The journal of the public gateway: each finished exchange is written, counted, and kept for a while if it was refused. */

import type { Journal } from '../ports.ts'
import type { RecentDecisions } from './decisions.ts'
import type { Metrics } from './metrics.ts'

export function observed(journal: Journal, metrics: Metrics, decisions: RecentDecisions): Journal {
  return {
    record(record) {
      metrics.count(record)
      decisions.keep(record)
      journal.record(record)
    },
    fault: (requestId, error) => journal.fault(requestId, error),
  }
}
