/**
 * The one choke point (SECURITY rule 20): every write of the identity provider passes here, whatever plug-in made it, and
 * what it revokes becomes entries of the log in the same transaction. Both are there, or neither is.
 */

import type { DBAdapter, DBTransactionAdapter } from '@better-auth/core/db/adapter'
import { APIError, BASE_ERROR_CODES } from '@better-auth/core/error'
import type { Revocation } from '../revocation/entry.ts'
import type { Written } from '../revocation/log.ts'
import { subjectIn } from '../revocation/names.ts'
import { isConsequential, revocationsOf, type Write } from './consequences.ts'
import { currentFacts } from './request-facts.ts'

export interface ChokeDeps {
  /** The last thing a transaction does: it holds the log until the commit. */
  readonly append: (inner: DBTransactionAdapter, revocations: readonly Revocation[]) => Promise<readonly Written[]>
  /** After the commit: true when every node knows. Never rejects. */
  readonly committed: (written: readonly Written[]) => Promise<boolean>
  /** A transaction failed, and may have been committed all the same: the log knows. Never throws. */
  readonly uncertain: () => void
  readonly sha256: (text: string) => string
  readonly nowMs: () => number
}

export interface Logged<T> {
  readonly result: T
  readonly written: readonly Written[]
  readonly isCarried: boolean
}

export interface ChokePoint {
  /** What the identity provider writes through. */
  readonly adapter: DBAdapter
  /** One transaction whose `revoke`d names are in the log with it. Rejects when the database did not do it. */
  run<T>(work: (inner: DBTransactionAdapter, revoke: Revoke) => Promise<T>): Promise<Logged<T>>
}

type Revoke = (revocations: readonly Revocation[]) => void
type Row = Readonly<Record<string, unknown>>

export function chokePoint(adapter: DBAdapter, deps: ChokeDeps): ChokePoint {
  return {
    run,
    adapter: {
      ...watchWrites(adapter, async (work) => (await run(work)).result),
      transaction: async (work) =>
        (await run((inner, revoke) => work(watchWrites(inner, (write) => write(inner, revoke))))).result,
    },
  }

  async function run<T>(work: (inner: DBTransactionAdapter, revoke: Revoke) => Promise<T>): Promise<Logged<T>> {
    const pending: Revocation[] = []
    let written: readonly Written[] = []
    let result: T
    try {
      result = await adapter.transaction(async (inner) => {
        const done = await work(inner, (found) => pending.push(...found))
        if (pending.length > 0) written = await deps.append(inner, pending)
        return done
      })
    } catch (error) {
      if (pending.length > 0) deps.uncertain()
      throw error
    }
    if (written.length === 0) return { result, written, isCarried: true }
    const isCarried = await deps.committed(written)
    const facts = await currentFacts()
    if (facts !== null && !isCarried) facts.isUncarried = true
    return { result, written, isCarried }
  }

  /** `within` runs a write in a transaction: the one under way, or one of its own. */
  function watchWrites<A extends DBTransactionAdapter>(
    plain: A,
    within: <T>(write: (inner: DBTransactionAdapter, revoke: Revoke) => Promise<T>) => Promise<T>,
  ): A {
    function watched<T>(
      kind: Write['kind'],
      { model, where = [], data }: Query,
      write: (to: DBTransactionAdapter) => Promise<T>,
    ): Promise<T> {
      if (!isConsequential({ kind, model, where }, deps.nowMs())) return write(plain)
      return within(async (inner, revoke) => {
        const row = await write(inner)
        const found = revocationsOf({ kind, model, where, row }, { nowMs: deps.nowMs(), sha256: deps.sha256 })
        revoke(found)
        await endSessions(inner, 'userId', await whoseSessionsEnd(inner, kind, model, data ?? {}, found, row))
        if (isOfStanding(kind, model, data ?? {})) await endSessions(inner, 'impersonatedBy', subjectsOf(found))
        return row
      })
    }
    const { update } = plain
    return {
      ...plain,
      create: async (query: Parameters<A['create']>[0]) => {
        if (query.model !== 'session') return watched('create', query, (to) => to.create(query))
        const hash = (await currentFacts())?.comparedHash ?? null
        if (hash === null) return plain.create(query)
        return within(async (inner) => {
          await requirePassword(inner, [{ field: 'userId', value: String((query.data as Row).userId) }], hash)
          return inner.create(query)
        })
      },
      update: (query: Parameters<typeof update>[0]) =>
        watched('update', { ...query, data: query.update }, async (to) => {
          const facts = query.model === 'account' && 'password' in query.update ? await currentFacts() : null
          if (facts === null || facts.comparedHash === null) return to.update(query)
          // The password that this request was allowed by must be the one it replaces.
          await requirePassword(to, query.where, facts.comparedHash)
          const row = await to.update(query)
          facts.comparedHash = String(query.update.password)
          return row
        }),
      updateMany: (query: Parameters<A['updateMany']>[0]) =>
        watched('update', { ...query, data: query.update }, (to) => to.updateMany(query)),
      delete: (query: Parameters<A['delete']>[0]) => watched('delete', query, (to) => to.delete(query)),
      deleteMany: (query: Parameters<A['deleteMany']>[0]) => watched('delete', query, (to) => to.deleteMany(query)),
      consumeOne: (query: Parameters<A['consumeOne']>[0]) => watched('delete', query, (to) => to.consumeOne(query)),
      incrementOne: (query: Parameters<A['incrementOne']>[0]) =>
        watched('update', { ...query, data: query.set ?? {} }, (to) => to.incrementOne(query)),
    }
  }
}

interface Query {
  readonly model: string
  readonly where?: Parameters<DBAdapter['update']>[0]['where']
  readonly data?: Row
}

/**
 * Whose sessions a write ends in its own transaction, whatever its maker does about them: of whoever is banned, has another
 * password or e-mail, or gets a way to sign in while the e-mail is unproven (rule 11).
 */
async function whoseSessionsEnd(
  inner: DBTransactionAdapter,
  kind: Write['kind'],
  model: string,
  data: Row,
  found: readonly Revocation[],
  row: unknown,
): Promise<readonly string[]> {
  const subjects = subjectsOf(found)
  const isEnding =
    (model === 'user' && kind === 'update' && (data.banned === true || 'email' in data)) ||
    (model === 'account' && kind === 'update' && 'password' in data)
  if (isEnding) {
    if (subjects.length === 0 && row !== null && row !== 0)
      throw new Error(`nobody can tell whose ${model} was changed`)
    return subjects
  }
  if (model !== 'account' || kind !== 'create') return []
  const [id = ''] = subjects
  const user = await inner.findOne<Row>({ model: 'user', where: [{ field: 'id', value: id }] })
  return user === null || user.emailVerified === true ? [] : [id]
}

/** Does it change what its user may do to others? Then acting in another's name ends with it. */
function isOfStanding(kind: Write['kind'], model: string, data: Row): boolean {
  if (model === 'account') return kind === 'update' && 'password' in data
  return model === 'user' && kind === 'update' && ('role' in data || 'banned' in data || 'email' in data)
}

function subjectsOf(found: readonly Revocation[]): readonly string[] {
  return found.map(({ name }) => subjectIn(name)).filter((subject) => subject !== null)
}

async function endSessions(
  inner: DBTransactionAdapter,
  field: 'userId' | 'impersonatedBy',
  userIds: readonly string[],
): Promise<void> {
  for (const value of userIds) await inner.deleteMany({ model: 'session', where: [{ field, value }] })
}

/**
 * Refuses when the account has another password by now. It writes what is there, and so waits for whoever is changing it,
 * and makes whoever changes it next wait for us: their end of all sessions then sees the one we make.
 */
async function requirePassword(
  inner: DBTransactionAdapter,
  where: Parameters<DBAdapter['updateMany']>[0]['where'],
  hash: string,
): Promise<void> {
  const same = [...where, { field: 'providerId', value: 'credential' }, { field: 'password', value: hash }]
  const count = await inner.updateMany({ model: 'account', where: same, update: { password: hash } })
  if (count === 0) throw APIError.from('UNAUTHORIZED', BASE_ERROR_CODES.INVALID_EMAIL_OR_PASSWORD)
}
