/** The newest entries of the revocation log, for people. What a node acts on it reads by itself, and checks (revocation/follower.ts). */

import type { Database, RevocationHistory } from '../ports.ts'
import { decodeEntry } from '../revocation/entry.ts'

export function revocationHistory(database: Database): RevocationHistory {
  return {
    async recent(before, countMax) {
      const rows = await database.query(
        'select entry from postern_revocation where sequence < $1 order by sequence desc limit $2',
        [before ?? Number.MAX_SAFE_INTEGER, countMax],
      )
      return rows.flatMap((row) => {
        const entry = decodeEntry(String(row.entry))
        if (entry === null) return []
        const { sequence, effect, name, notBeforeMs, expiresAtMs } = entry
        return [{ sequence, effect, name, notBeforeMs, expiresAtMs }]
      })
    },
  }
}
