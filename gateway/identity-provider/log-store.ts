/**
 * The revocation log as the database holds it: one row per entry and one row that counts them. Numbers are taken last in a
 * transaction and held until its end, so they have no gaps and stand in the order of commits (SECURITY rule 19).
 */

import type { DBAdapter, DBTransactionAdapter, Where } from '@better-auth/core/db/adapter'
import type { Database, Primitives } from '../ports.ts'
import { encodeEntry, type Revocation } from '../revocation/entry.ts'
import type { LogPage, LogReader, LogRow, LogSeal, Written } from '../revocation/log.ts'
import { EVERYTHING } from '../revocation/names.ts'
import { fromBase64Url, toBase64Url } from './base64.ts'
import { revocation } from './consequences.ts'

const LOG = 'posternLog'
const ENTRY = 'posternRevocation'
const LOG_ID = 'log'
const PAGE_ROWS_MAX = 1000
/** Clocks of nodes differ, and an entry that is missed by one of them must still be there. */
const KEPT_MS = 3_600_000

/** A plug-in for its tables alone, so that one migration makes all of them, in each kind of database. */
export const LOG_TABLES = {
  id: 'postern-log',
  schema: {
    [LOG]: {
      modelName: 'postern_log',
      fields: { sequence: { type: 'number', bigint: true, required: true, input: false } },
    },
    [ENTRY]: {
      modelName: 'postern_revocation',
      fields: {
        sequence: { type: 'number', bigint: true, required: true, unique: true, input: false },
        entry: { type: 'string', required: true, input: false },
        seal: { type: 'string', required: true, input: false },
        expiresAtMs: { type: 'number', bigint: true, required: true, input: false, fieldName: 'expires_at_ms' },
      },
    },
  },
} as const

export interface LogStore {
  /** Call it last in a transaction: from here to the commit no other node can append. */
  append(inner: DBTransactionAdapter, revocations: readonly Revocation[]): Promise<readonly Written[]>
  /**
   * Numbers up to here were given by a log that is no more, so the next entry gets a higher one. Call it in the transaction
   * that appends one: the newest entry must never be missing.
   */
  skipTo(inner: DBTransactionAdapter, reached: number): Promise<void>
  readonly reader: LogReader
  /**
   * Call it at open, under the migration lock. Rows of an older secret are sealed again with the newest; rows that no
   * secret of ours sealed say nothing that can be believed, so they go and everything issued so far ends.
   */
  prepare(): Promise<void>
  /** Removes entries that concern nothing any more. */
  prune(nowMs: number): Promise<void>
}

export interface Seals extends LogSeal {
  isNewest(text: string, seal: string): boolean
}

/** Newest key first. */
export function logSeal(primitives: Primitives, keys: readonly Uint8Array[]): Seals {
  const macOf = (key: Uint8Array, text: string): Uint8Array => primitives.hmacSha256(key, `postern-log\n${text}`)
  const isBy = (key: Uint8Array, text: string, seal: string): boolean => {
    const given = fromBase64Url(seal)
    return given !== null && primitives.isEqual(macOf(key, text), given)
  }
  return {
    sealOf: (text) => toBase64Url(macOf(keys[0]!, text)),
    isSealed: (text, seal) => keys.some((key) => isBy(key, text, seal)),
    isNewest: (text, seal) => isBy(keys[0]!, text, seal),
  }
}

export function logStore(deps: {
  readonly database: Database
  /** The plain adapter: what is written here is the log itself. */
  readonly writes: DBAdapter
  readonly seals: Seals
  readonly nowMs: () => number
  readonly log: (error: unknown) => void
}): LogStore {
  const { database, writes, seals, nowMs } = deps
  return { append, skipTo, reader: { read }, prepare, prune }

  async function append(inner: DBTransactionAdapter, given: readonly Revocation[]): Promise<readonly Written[]> {
    const revocations = distinct(given)
    const counted = await inner.incrementOne<{ readonly sequence: unknown }>({
      model: LOG,
      where: [{ field: 'id', value: LOG_ID }],
      increment: { sequence: revocations.length },
    })
    if (counted === null) throw new Error('the revocation log has lost its counter')
    const first = whole(counted.sequence) - revocations.length + 1
    const written: Written[] = []
    for (const [at, found] of revocations.entries()) {
      const entry = { ...found, sequence: first + at, id: crypto.randomUUID() }
      const text = encodeEntry(entry)
      const row: LogRow = { sequence: entry.sequence, entry: text, seal: seals.sealOf(text) }
      await inner.create({ model: ENTRY, data: { ...row, expiresAtMs: found.expiresAtMs } })
      written.push({ entry, row })
    }
    return written
  }

  async function skipTo(inner: DBTransactionAdapter, reached: number): Promise<void> {
    const where: Where[] = [
      { field: 'id', value: LOG_ID },
      { field: 'sequence', operator: 'lt', value: reached },
    ]
    await inner.update({ model: LOG, where, update: { sequence: reached } })
  }

  async function read(from: number): Promise<LogPage> {
    const found = await database.query(READ, [from])
    if (found[0] === undefined) throw new Error('the revocation log has lost its counter')
    const rows = found.filter((row) => row.sequence !== null).map(toRow)
    return {
      head: whole(found[0].head),
      rows: rows.slice(0, PAGE_ROWS_MAX),
      isComplete: rows.length <= PAGE_ROWS_MAX,
    }
  }

  async function prepare(): Promise<void> {
    await database.query(
      'insert into postern_log (id, sequence) select $1, coalesce((select max(sequence) from postern_revocation), 0) where not exists (select 1 from postern_log)',
      [LOG_ID],
    )
    const bad: number[] = []
    for (let from = 0; ; ) {
      const { rows, isComplete } = await read(from)
      for (const row of rows) if (!(await isBelieved(row))) bad.push(row.sequence)
      if (isComplete) break
      from = rows.at(-1)!.sequence + 1
    }
    if (bad.length === 0) return
    deps.log(
      new Error(
        `the revocation log held ${bad.length} entries that no secret of ours sealed: everything issued so far has ended`,
      ),
    )
    // In this order: a node that ends in between finds them again, and the newest entry is never missing.
    await writes.transaction((inner) => append(inner, [revocation('end', EVERYTHING, nowMs())]))
    for (const sequence of bad) {
      await database.query('delete from postern_revocation where sequence = $1', [sequence])
    }
  }

  /** Seals it with the newest key, where another of ours did. */
  async function isBelieved({ sequence, entry, seal }: LogRow): Promise<boolean> {
    if (seals.isNewest(entry, seal)) return true
    if (!seals.isSealed(entry, seal)) return false
    await database.query('update postern_revocation set seal = $1 where sequence = $2', [seals.sealOf(entry), sequence])
    return true
  }

  async function prune(atMs: number): Promise<void> {
    await database.query(
      'delete from postern_revocation where expires_at_ms < $1 and sequence < (select min(sequence) from postern_log)',
      [atMs - KEPT_MS],
    )
  }
}

/** One statement, and so one view: the head and the rows belong together. */
const READ = `select l.sequence as head, r.sequence, r.entry, r.seal
from postern_log l left join (
  select sequence, entry, seal from postern_revocation where sequence >= $1 order by sequence limit ${PAGE_ROWS_MAX + 1}
) r on 1 = 1
order by r.sequence`

function toRow(row: Readonly<Record<string, unknown>>): LogRow {
  return { sequence: whole(row.sequence), entry: String(row.entry), seal: String(row.seal) }
}

/** Postgres gives a bigint as text. */
function whole(value: unknown): number {
  const number = typeof value === 'string' ? Number(value) : value
  if (!Number.isSafeInteger(number)) throw new TypeError('the revocation log holds a number that is none')
  return number as number
}

/** One transaction may touch one user ten times. */
function distinct(revocations: readonly Revocation[]): readonly Revocation[] {
  const byText = new Map(revocations.map((found) => [`${found.effect} ${found.name}`, found]))
  return [...byText.values()]
}
