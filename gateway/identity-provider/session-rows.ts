/** Sessions as the database holds them, read past every cache, and the one write this gateway makes to them: a later end. */

import type { DBAdapter } from '@better-auth/core/db/adapter'
import type { LocalUser } from '../ports.ts'

/** A session and the user it belongs to. All that a Principal is made of. */
export interface SessionRow {
  readonly id: string
  readonly token: string
  readonly createdAtMs: number
  readonly expiresAtMs: number
  readonly authenticatedAtMs: number | null
  readonly methods: readonly string[]
  /** False when the person asked not to be remembered: the cookie then ends with the browser. */
  readonly isRemembered: boolean
  readonly user: LocalUser
  /** Who acts in the user's name; null for the user. */
  readonly impersonatorId: string | null
}

/** Whoever acts in another's name does so for this long at most, used or not. */
export const IMPERSONATED_MS_MAX = 3_600_000

export type SessionKey = { readonly token: string } | { readonly id: string }

export interface SessionRows {
  find(key: SessionKey): Promise<SessionRow | null>
  /** False when the session has ended meanwhile. */
  extend(token: string, expiresAtMs: number, nowMs: number): Promise<boolean>
}

export type Columns = Readonly<Record<string, unknown>>

export function sessionRows(lookups: DBAdapter, writes: DBAdapter): SessionRows {
  return {
    async find(key) {
      const [field, value] = 'token' in key ? ['token', key.token] : ['id', key.id]
      const row = await lookups.findOne<Columns>({ model: 'session', where: [{ field, value }], join: { user: true } })
      return row === null ? null : parseRow(row)
    },
    async extend(token, expiresAtMs, nowMs) {
      const row = await writes.update({
        model: 'session',
        where: [{ field: 'token', value: token }],
        update: { expiresAt: new Date(expiresAtMs), updatedAt: new Date(nowMs) },
      })
      return row !== null
    },
  }
}

/** Null when the user is gone. Throws on a row that makes no sense, which is then "cannot tell" and never a pass. */
function parseRow(row: Columns): SessionRow | null {
  const user = row.user
  if (typeof user !== 'object' || user === null) return null
  const columns = user as Columns
  return {
    id: text(row.id),
    token: text(row.token),
    createdAtMs: time(row.createdAt),
    expiresAtMs: time(row.expiresAt),
    authenticatedAtMs: row.authenticatedAt == null ? null : time(row.authenticatedAt),
    methods: words(row.amr, ' '),
    isRemembered: row.isRemembered !== false,
    user: parseUser(columns),
    impersonatorId: optionalText(row.impersonatedBy),
  }
}

/** Throws on a row that makes no sense, as `parseRow` does. */
export function parseUser(columns: Columns): LocalUser {
  return {
    id: text(columns.id),
    email: optionalText(columns.email),
    emailVerified: columns.emailVerified === true,
    name: optionalText(columns.name),
    roles: words(columns.role, ','),
    bannedUntilMs: bannedUntil(columns),
  }
}

function bannedUntil(user: Columns): number | null {
  if (user.banned == null || user.banned === false) return null
  return user.banExpires == null ? Number.POSITIVE_INFINITY : time(user.banExpires)
}

export function text(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new TypeError('a row lacks a text it must have')
  return value
}

export function optionalText(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

export function time(value: unknown): number {
  const ms = value instanceof Date ? value.getTime() : typeof value === 'string' ? Date.parse(value) : Number.NaN
  if (Number.isNaN(ms)) throw new TypeError('a row lacks a time it must have')
  return ms
}

function words(value: unknown, separator: string): readonly string[] {
  if (typeof value !== 'string') return []
  return value
    .split(separator)
    .map((word) => word.trim())
    .filter((word) => word !== '')
}
