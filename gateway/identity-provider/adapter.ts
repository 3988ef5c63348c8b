/**
 * The one choke point (SECURITY rule 20): every write of the identity provider passes here, whatever plug-in made it, and
 * what changes a session, user, account, key or membership becomes a revocation once the write has happened.
 */

import type { DBAdapter, DBTransactionAdapter, Where } from '@better-auth/core/db/adapter'
import type { Revocation } from './revocations.ts'

type Announce = (revocations: readonly Revocation[]) => void
type Row = Readonly<Record<string, unknown>>

/** Model -> the columns that name whose it is, and what each of them names. The first one a query fixes is enough. */
const NAMING: Readonly<
  Record<string, readonly (readonly [field: string, kind: Exclude<Revocation['kind'], 'everything'>])[]>
> = {
  session: [
    ['token', 'session-token'],
    ['id', 'session'],
    ['userId', 'subject'],
  ],
  user: [['id', 'subject']],
  account: [['userId', 'subject']],
  apikey: [['referenceId', 'subject']],
  member: [['userId', 'subject']],
}

const EVERYTHING: readonly Revocation[] = [{ kind: 'everything' }]

export function watchAdapter(adapter: DBAdapter, announce: Announce): DBAdapter {
  return {
    ...watchWrites(adapter, announce),
    async transaction(work) {
      const pending: Revocation[] = []
      try {
        return await adapter.transaction((inner) => work(watchWrites(inner, (found) => pending.push(...found))))
      } finally {
        // After the commit, or whatever else became of it: a lost answer may still have been a commit.
        announce(pending)
      }
    },
  }
}

function watchWrites<A extends DBTransactionAdapter>(adapter: A, announce: Announce): A {
  /** Announces after the write has settled: a look-up that began before then has the lower sequence, and is dead. */
  async function announced<T>(model: string, where: readonly Where[], write: () => Promise<T>): Promise<T> {
    let row: unknown = null
    try {
      const result = await write()
      row = result
      return result
    } finally {
      announce(revocationsOf(model, where, row))
    }
  }
  return {
    ...adapter,
    create: (query: Parameters<A['create']>[0]) =>
      // A new session or user ends nothing; a new account or membership changes what its user may do.
      query.model === 'account' || query.model === 'member'
        ? announced(query.model, [], () => adapter.create(query))
        : adapter.create(query),
    update: (query: Parameters<A['update']>[0]) => announced(query.model, query.where, () => adapter.update(query)),
    updateMany: (query: Parameters<A['updateMany']>[0]) =>
      announced(query.model, query.where, () => adapter.updateMany(query)),
    delete: (query: Parameters<A['delete']>[0]) => announced(query.model, query.where, () => adapter.delete(query)),
    deleteMany: (query: Parameters<A['deleteMany']>[0]) =>
      announced(query.model, query.where, () => adapter.deleteMany(query)),
    consumeOne: (query: Parameters<A['consumeOne']>[0]) =>
      announced(query.model, query.where, () => adapter.consumeOne(query)),
    incrementOne: (query: Parameters<A['incrementOne']>[0]) =>
      announced(query.model, query.where, () => adapter.incrementOne(query)),
  }
}

/**
 * Who a write may have touched. Conditions are ANDed, so any one that names somebody covers every row; with an OR, or with
 * none that names anybody, the row that came back does, and else it may have been anyone.
 */
export function revocationsOf(model: string, where: readonly Where[], row: unknown): readonly Revocation[] {
  const naming = NAMING[model]
  if (naming === undefined) return []
  if (where.every((clause) => clause.connector !== 'OR')) {
    for (const [field, kind] of naming) {
      for (const clause of where) {
        if (clause.field !== field) continue
        const names = namesIn(clause)
        if (names !== null) return names.map((name) => revocation(kind, name))
      }
    }
  }
  for (const [field, kind] of naming) {
    const name = typeof row === 'object' && row !== null ? (row as Row)[field] : undefined
    if (typeof name === 'string') return [revocation(kind, name)]
  }
  return EVERYTHING
}

function namesIn(clause: Where): readonly string[] | null {
  const { operator = 'eq', value, mode } = clause
  if (mode === 'insensitive') return null
  if (operator === 'eq' && typeof value === 'string') return [value]
  if (operator === 'in' && Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  return null
}

function revocation(kind: Exclude<Revocation['kind'], 'everything'>, name: string): Revocation {
  return kind === 'session-token' ? { kind, token: name } : { kind, id: name }
}
