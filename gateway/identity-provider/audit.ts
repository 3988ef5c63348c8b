/**
 * The audit trail of administration: one durable row per action, written before the action is done, and a line in the log
 * beside it. What cannot be written is not done (SECURITY rule 29).
 */

import type { AuditEvent, AuditOutcome, AuditRecord, AuditTrail, Database } from '../ports.ts'

const SCHEMA = `create table if not exists postern_audit (
  id text primary key,
  at_ms bigint not null,
  actor text not null,
  action text not null,
  target text not null,
  outcome text not null,
  detail text not null,
  request_id text not null,
  client_address text
)`

/** Strangers can make refusals without end, so beyond this they are lines of the log alone. */
const REFUSALS_PER_MINUTE_MAX = 120
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** What was done is kept for good. */
const REFUSALS_KEPT_MS = 90 * DAY_MS
/** A target is what somebody asked for, so it has a bound. */
const TEXT_CHARS_MAX = 512

/** Call it once before, under the migration lock. */
export async function migrateAudit(database: Database, nowMs: number): Promise<void> {
  await database.query(SCHEMA)
  await removeOldRefusals(database, nowMs)
}

async function removeOldRefusals(database: Database, nowMs: number): Promise<void> {
  await database.query("delete from postern_audit where outcome = 'refused' and at_ms < $1", [nowMs - REFUSALS_KEPT_MS])
}

export function auditTrail(deps: {
  readonly database: Database
  readonly nowMs: () => number
  /** Hears each record, as a line of the log. */
  readonly tell: (record: AuditRecord) => void
  readonly log: (error: unknown) => void
}): AuditTrail {
  const { database, nowMs, tell, log } = deps
  let minuteFromMs = Number.NEGATIVE_INFINITY
  let refusals = 0
  let cleanedAtMs = nowMs()

  return {
    async begin(event) {
      const record = recordOf(crypto.randomUUID(), event, 'begun', '')
      await insert(record)
      return record.id
    },
    async end(id, event, outcome, detail) {
      const record = recordOf(id, event, outcome, detail)
      tell(record)
      try {
        await database.query('update postern_audit set outcome = $1, detail = $2 where id = $3', [
          outcome,
          record.detail,
          id,
        ])
      } catch (error) {
        log(error)
      }
    },
    async refuse(event, reason) {
      const record = recordOf(crypto.randomUUID(), event, 'refused', reason)
      tell(record)
      if (!isWithinBound(record.atMs)) return
      try {
        await insert(record)
        if (Math.abs(record.atMs - cleanedAtMs) < DAY_MS) return
        cleanedAtMs = record.atMs
        await removeOldRefusals(database, record.atMs)
      } catch (error) {
        log(error)
      }
    },
    look: (event) => tell(recordOf(crypto.randomUUID(), event, 'done', '')),
  }

  function recordOf(id: string, event: AuditEvent, outcome: AuditOutcome, detail: string): AuditRecord {
    const { actor, action, target, requestId, clientAddress } = event
    return {
      ...{ id, atMs: nowMs(), actor: bounded(actor), action: bounded(action), target: bounded(target) },
      ...{ outcome, detail: bounded(detail), requestId, clientAddress },
    }
  }

  async function insert(record: AuditRecord): Promise<void> {
    const { id, atMs, actor, action, target, outcome, detail, requestId, clientAddress } = record
    await database.query(
      'insert into postern_audit (id, at_ms, actor, action, target, outcome, detail, request_id, client_address) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)',
      [id, atMs, actor, action, target, outcome, detail, requestId, clientAddress],
    )
  }

  function isWithinBound(atMs: number): boolean {
    if (Math.abs(atMs - minuteFromMs) >= MINUTE_MS) {
      minuteFromMs = atMs
      refusals = 0
    }
    refusals += 1
    return refusals <= REFUSALS_PER_MINUTE_MAX
  }
}

/** Postgres keeps no NUL in a text. */
function bounded(text: string): string {
  return text.replaceAll('\0', '?').slice(0, TEXT_CHARS_MAX)
}
