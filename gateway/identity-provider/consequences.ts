/**
 * What a write of the identity provider revokes. A write that names somebody concerns them; one that names nobody may
 * concern anybody, and then everybody is read again.
 */

import type { Where } from '@better-auth/core/db/adapter'
import { END_LIFE_MS, REFRESH_LIFE_MS, type Revocation, type RevocationEffect } from '../revocation/entry.ts'
import { EVERYTHING, nameOf } from '../revocation/names.ts'

type Row = Readonly<Record<string, unknown>>

export interface Write {
  readonly kind: 'create' | 'update' | 'delete'
  readonly model: string
  /** Empty for a create. */
  readonly where: readonly Where[]
  /** What the database gave back: a row, a count, or nothing. */
  readonly row: unknown
}

export interface Naming {
  readonly nowMs: number
  readonly sha256: (text: string) => string
}

/** Model -> the columns that name whose it is, and the name that each gives. The first one a query fixes is enough. */
const NAMING: Readonly<
  Record<string, readonly (readonly [field: string, toName: (value: string, naming: Naming) => string])[]>
> = {
  session: [
    ['token', (token, { sha256 }) => nameOf.sessionToken(sha256(token))],
    ['id', nameOf.session],
    ['userId', nameOf.subject],
  ],
  user: [['id', nameOf.subject]],
  account: [['userId', nameOf.subject]],
  apikey: [
    ['id', nameOf.key],
    ['referenceId', nameOf.subject],
  ],
  member: [['userId', nameOf.subject]],
  teamMember: [['userId', nameOf.subject]],
  // What these mean for whom is a question of memberships, so everybody is read again.
  organization: [],
  organizationRole: [],
  team: [],
}

/** A new session, user or key ends nothing; a new account or membership changes what its user may do. */
const CREATED: ReadonlySet<string> = new Set(['account', 'member', 'teamMember'])
/** Only their end changes what somebody may do. */
const DELETED_ONLY: ReadonlySet<string> = new Set(['organization', 'team'])
/** Rows that are dead by themselves once `expiresAt` has passed. */
const EXPIRING: ReadonlySet<string> = new Set(['session', 'apikey'])

/** May this write revoke something? Asked before it happens, because it then needs a transaction. */
export function isConsequential({ kind, model, where }: Omit<Write, 'row'>, nowMs: number): boolean {
  if (NAMING[model] === undefined) return false
  if (kind === 'create') return CREATED.has(model)
  if (DELETED_ONLY.has(model)) return kind === 'delete'
  return !(kind === 'delete' && EXPIRING.has(model) && isOfExpired(where, nowMs))
}

export function revocationsOf(write: Write, naming: Naming): readonly Revocation[] {
  // No row, no change: whoever removed it before has said so in the log.
  if (write.row === 0 || !isConsequential(write, naming.nowMs)) return []
  return namesOf(write, naming).map((name) => revocation(effectOf(write, name), name, naming.nowMs))
}

/** An entry of now, which lives as long as anything it concerns can. */
export function revocation(
  effect: RevocationEffect,
  name: string,
  nowMs: number,
  more: { readonly subject?: string | null; readonly expiresAtMs?: number | null } = {},
): Revocation {
  const lifeMs = effect === 'end' ? END_LIFE_MS : REFRESH_LIFE_MS
  return {
    effect,
    name,
    notBeforeMs: nowMs,
    expiresAtMs: more.expiresAtMs ?? nowMs + lifeMs,
    subject: more.subject ?? null,
  }
}

/** A deleted user or key never comes back under its id; anything else is read again. */
function effectOf({ kind, model }: Write, name: string): RevocationEffect {
  if (kind !== 'delete') return 'refresh'
  if (model === 'user' && name !== EVERYTHING) return 'end'
  return model === 'apikey' && name.startsWith('key:') ? 'end' : 'refresh'
}

/**
 * Conditions are ANDed, so any one that names somebody covers every row; with an OR, or with none that names anybody, the
 * row that came back does.
 */
function namesOf({ model, where, row }: Write, naming: Naming): readonly string[] {
  const columns = NAMING[model]!
  if (where.every((clause) => clause.connector !== 'OR')) {
    for (const [field, toName] of columns) {
      for (const clause of where) {
        if (clause.field !== field) continue
        const values = valuesIn(clause)
        if (values !== null) return values.map((value) => toName(value, naming))
      }
    }
  }
  for (const [field, toName] of columns) {
    const value = typeof row === 'object' && row !== null ? (row as Row)[field] : undefined
    if (typeof value === 'string') return [toName(value, naming)]
  }
  return [EVERYTHING]
}

function valuesIn(clause: Where): readonly string[] | null {
  const { operator = 'eq', value, mode } = clause
  if (mode === 'insensitive') return null
  if (operator === 'eq' && typeof value === 'string') return [value]
  if (operator === 'in' && Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  return null
}

/** Removing what has ended by itself revokes nothing. */
function isOfExpired(where: readonly Where[], nowMs: number): boolean {
  return (
    where.every((clause) => clause.connector !== 'OR') &&
    where.some(
      ({ field, operator, value }) =>
        field === 'expiresAt' && operator === 'lt' && value instanceof Date && value.getTime() <= nowMs,
    )
  )
}
