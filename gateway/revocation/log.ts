/**
 * The log as its readers see it: rows in the database, numbered without gaps in the order of commits, each sealed
 * (SECURITY rule 19). The database is the truth; whatever carries entries faster is only believed where it agrees.
 */

import type { LogEntry } from './entry.ts'

/** One row. `entry` is the text of `encodeEntry`; `seal` proves that this gateway wrote it. */
export interface LogRow {
  readonly sequence: number
  readonly entry: string
  readonly seal: string
}

export interface LogPage {
  /** Number of the newest entry; 0 when there has never been one. */
  readonly head: number
  /** In order, from the number asked for. Entries whose end has come may be missing, but never the newest. */
  readonly rows: readonly LogRow[]
  /** False when there are more than were read. */
  readonly isComplete: boolean
}

export interface LogReader {
  /** Everything from this number on, in one consistent read. Rejects when the database cannot tell in time. */
  read(from: number): Promise<LogPage>
}

export interface LogSeal {
  sealOf(text: string): string
  isSealed(text: string, seal: string): boolean
}

/** What this node wrote and has committed. */
export interface Written {
  readonly entry: LogEntry
  readonly row: LogRow
}
