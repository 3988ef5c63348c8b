/**
 * Postgres through `pg`. Every wait has an end: a server that is gone or frozen costs a bounded time, and a connection
 * whose query timed out is closed, because its next answer would belong to somebody else's question.
 */

import pg from 'pg'
import type { Database } from '../../ports.ts'

const CONNECT_TIMEOUT_MS = 1000
const QUERY_TIMEOUT_MS = 2000
/** A node that is stopped inside a transaction holds locks that every other node waits for. */
const IDLE_IN_TRANSACTION_MS_MAX = 5000
const WRITE_CONNECTIONS_MAX = 10
/** Look-ups have connections of their own: a sign-up keeps one for as long as its password is being hashed. */
const LOOKUP_CONNECTIONS_MAX = 6
const LOCK_WAIT_MS_MAX = 60_000
const LOCK_RETRY_MS = 50
/** Any number will do, as long as every node uses the same. */
const LOCK_KEY = 7_042_311_904

export async function openPostgres(url: string, onFault: (error: unknown) => void): Promise<Database> {
  const writes = openPool(url, WRITE_CONNECTIONS_MAX, onFault)
  const lookups = openPool(url, LOOKUP_CONNECTIONS_MAX, onFault)
  try {
    await lookups.query('select 1')
  } catch (error) {
    await Promise.all([writes.end(), lookups.end()])
    throw new Error(`The database cannot be reached: ${reasonOf(error)}. Check store.database and that Postgres runs.`)
  }
  return {
    kind: 'postgres',
    handle: writes,
    readHandle: lookups,
    query: async (sql, values = []) => (await lookups.query(sql, [...values])).rows,
    withMigrationLock: (work) => withLock(url, work),
    isReady: async () => {
      try {
        await lookups.query('select 1')
        return true
      } catch {
        return false
      }
    },
    close: async () => {
      await Promise.all([writes.end(), lookups.end()])
    },
  }
}

function openPool(url: string, max: number, onFault: (error: unknown) => void): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS_MAX,
    keepAlive: true,
    application_name: 'postern',
  })
  pool.on('error', onFault)
  pool.on('connect', closeAfterTimeout)
  return pool
}

/**
 * A borrowed client has no error listener of its own, and an unheard 'error' ends the process: listen, and let the query
 * that was running report it.
 */
function closeAfterTimeout(client: pg.PoolClient): void {
  client.on('error', () => {})
  const query = client.query.bind(client) as (...args: unknown[]) => unknown
  const watched = (...args: unknown[]): unknown => {
    const running = query(...args)
    if (running instanceof Promise) running.catch((error: unknown) => closeIfTimedOut(client, error))
    return running
  }
  client.query = watched as typeof client.query
}

function closeIfTimedOut(client: pg.PoolClient, error: unknown): void {
  if (!(error instanceof Error) || error.message !== 'Query read timeout') return
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } }
  connection.stream.destroy()
}

/** An advisory lock belongs to its connection, so it has one of its own and ends with it, however the node ends. */
async function withLock<T>(url: string, work: () => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  })
  client.on('error', () => {})
  await client.connect()
  try {
    const startedAt = performance.now()
    while (!(await tryLock(client))) {
      if (performance.now() - startedAt > LOCK_WAIT_MS_MAX) {
        throw new Error(`Another node has held the migration lock for ${LOCK_WAIT_MS_MAX / 1000} s.`)
      }
      await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS))
    }
    return await work()
  } finally {
    await client.end().catch(() => {})
  }
}

async function tryLock(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query('select pg_try_advisory_lock($1) as locked', [LOCK_KEY])
  return rows[0]?.locked === true
}

/** A code where there is one: messages of the driver may quote the URL. */
function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string'
    ? code
    : error instanceof Error && /timeout/i.test(error.message)
      ? 'timeout'
      : 'error'
}
