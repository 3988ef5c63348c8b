/** API keys as the database holds them: by the hash of their text, read past every cache and never written to by a request. */

import type { DBAdapter } from '@better-auth/core/db/adapter'
import type { RateRule } from '../rules.ts'
import { type Columns, optionalText, text, time } from './session-rows.ts'

export interface ApiKeyRow {
  readonly id: string
  readonly ownerId: string
  readonly name: string | null
  readonly isEnabled: boolean
  readonly scopes: readonly string[]
  /** Null for the policy's. */
  readonly rate: RateRule | null
  readonly createdAtMs: number
  /** Null for a key without an end. */
  readonly expiresAtMs: number | null
}

export interface ApiKeyRows {
  findByHash(hash: string): Promise<ApiKeyRow | null>
  findById(id: string): Promise<ApiKeyRow | null>
  /** Newest first; of everybody when `ownerId` is null. */
  list(ownerId: string | null): Promise<readonly ApiKeyRow[]>
}

/** What stands in the identity provider's own columns: scopes as the permissions for this gateway, our limit as metadata. */
export const SCOPES = 'scopes'
export const RATE = 'rate'
const LIST_MAX = 10_000

export function apiKeyRows(lookups: DBAdapter): ApiKeyRows {
  const findBy = async (field: string, value: string): Promise<ApiKeyRow | null> => {
    const row = await lookups.findOne<Columns>({ model: 'apikey', where: [{ field, value }] })
    return row === null ? null : parseKey(row)
  }
  return {
    findByHash: (hash) => findBy('key', hash),
    findById: (id) => findBy('id', id),
    async list(ownerId) {
      const where = ownerId === null ? [] : [{ field: 'referenceId', value: ownerId }]
      const sortBy = { field: 'createdAt', direction: 'desc' } as const
      const rows = await lookups.findMany<Columns>({ model: 'apikey', where, sortBy, limit: LIST_MAX })
      return rows.map(parseKey)
    },
  }
}

/** Throws on a row that makes no sense, which is then "cannot tell": a limit that cannot be read is not the absence of one. */
function parseKey(row: Columns): ApiKeyRow {
  return {
    id: text(row.id),
    ownerId: text(row.referenceId),
    name: optionalText(row.name),
    isEnabled: row.enabled === true,
    scopes: scopesIn(fromJson(row.permissions)),
    rate: rateIn(fromJson(row.metadata)),
    createdAtMs: time(row.createdAt),
    expiresAtMs: row.expiresAt == null ? null : time(row.expiresAt),
  }
}

function scopesIn(permissions: unknown): readonly string[] {
  const scopes = memberOf(permissions, SCOPES) ?? []
  if (!Array.isArray(scopes) || scopes.some((scope) => typeof scope !== 'string')) {
    throw new TypeError('the scopes of an API key cannot be read')
  }
  return scopes
}

function rateIn(metadata: unknown): RateRule | null {
  const rate = memberOf(metadata, RATE) ?? null
  if (rate === null) return null
  const [burst, intervalMs] = [memberOf(rate, 'burst'), memberOf(rate, 'intervalMs')]
  if (!(typeof burst === 'number' && burst >= 1 && typeof intervalMs === 'number' && intervalMs > 0)) {
    throw new TypeError('the limit of an API key cannot be read')
  }
  return { burst, intervalMs }
}

function memberOf(value: unknown, name: string): unknown {
  if (value === null || value === undefined) return undefined
  if (typeof value !== 'object') throw new TypeError('a column of an API key cannot be read')
  return (value as Columns)[name]
}

function fromJson(value: unknown): unknown {
  return typeof value === 'string' ? JSON.parse(value) : value
}
