/**
 * One complete read of the log, page by page: what is new since the newest entry that is known, or all there is. What the
 * database says is checked against what is known, so a log that was cut, set back or put in another's place is noticed.
 */

import type { LogEntry } from './entry.ts'
import type { LogPage, LogRow, Written } from './log.ts'

export interface LogSource {
  read(from: number): Promise<LogPage>
  /** Throws for a row that this gateway did not write: then nobody knows what the log says. */
  open(row: LogRow): LogEntry
}

/** The newest entry that was read; 0 and null while there is none. */
export interface LogHead {
  readonly sequence: number
  readonly text: string | null
}

export interface Reading {
  readonly head: LogHead
  readonly entries: readonly LogEntry[]
}

/**
 * From the newest entry that was read on, which must still be there and be the same, as must what this node wrote since:
 * its `own` by number. `reached` is the highest number known. `missing`: entries between are gone, as those are whose
 * end came while nobody read. `rewound`: the log is older than it was, or is another.
 */
export async function readOn(
  source: LogSource,
  read: LogHead,
  own: ReadonlyMap<number, Written>,
  reached: number,
): Promise<Reading | 'missing' | 'rewound'> {
  const entries: LogEntry[] = []
  let head = read
  for (let next = Math.max(1, read.sequence); ; ) {
    const page = await source.read(next)
    if (page.head < reached) return 'rewound'
    for (const row of page.rows) {
      if (row.sequence !== next) return 'missing'
      const entry = source.open(row)
      const known = next === read.sequence ? read.text : own.get(next)?.row.entry
      if (known !== undefined && row.entry !== known) return 'rewound'
      if (next > read.sequence) {
        entries.push(entry)
        head = { sequence: next, text: row.entry }
      }
      next += 1
    }
    if (page.isComplete) return page.head === next - 1 ? { head, entries } : 'missing'
    if (page.rows.length === 0) throw new Error('the revocation log answered an empty page that is not its last')
  }
}

/** Entries whose end has come may be missing, but never the newest. */
export async function readAll(source: LogSource): Promise<Reading> {
  const entries: LogEntry[] = []
  let head: LogHead = { sequence: 0, text: null }
  for (;;) {
    const page = await source.read(head.sequence === 0 ? 0 : head.sequence + 1)
    for (const row of page.rows) {
      if (row.sequence <= head.sequence) throw new Error('the revocation log is out of order')
      entries.push(source.open(row))
      head = { sequence: row.sequence, text: row.entry }
    }
    if (page.isComplete && page.head === head.sequence) return { head, entries }
    if (page.isComplete) throw new Error('the newest entry of the revocation log is missing')
    if (page.rows.length === 0) throw new Error('the revocation log answered an empty page that is not its last')
  }
}
