/**
 * SQLite through `node:sqlite`, one file that only its owner can read. Three connections to it: one that the identity
 * provider writes through, one that sessions are read through while it writes, one for our own tables.
 */

import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { Database } from '../../ports.ts'

/** The driver waits on the event loop's own thread, so it waits briefly; our own writes wait outside it. */
const BUSY_TIMEOUT_MS = 250
const BUSY_RETRY_MS = 20
const BUSY_WAIT_MS_MAX = 3000
const LOCK_WAIT_MS_MAX = 60_000

export async function openSqlite(dataDir: string): Promise<Database> {
  const path = join(dataDir, 'postern.db')
  const lockPath = join(dataDir, 'postern.lock')
  const connections: DatabaseSync[] = []
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    for (const file of [path, lockPath]) createPrivate(file)
    const writes = new LateTransactions(path, { timeout: BUSY_TIMEOUT_MS })
    connections.push(writes)
    // Full: what has been acknowledged as revoked outlives a loss of power too.
    writes.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on')
    const lookups = connect(path, BUSY_TIMEOUT_MS, connections)
    lookups.exec('pragma query_only = on')
    const own = connect(path, 0, connections)
    let isOpen = true
    return {
      kind: 'sqlite',
      handle: writes,
      readHandle: lookups,
      query: (sql, values = []) => whenFree(() => run(own, sql, values), BUSY_WAIT_MS_MAX),
      withMigrationLock: (work) => withLock(lockPath, work),
      isReady: async () => {
        try {
          lookups.prepare('select 1 from sqlite_schema limit 1').get()
          return true
        } catch {
          return false
        }
      },
      close: async () => {
        if (!isOpen) return
        isOpen = false
        for (const connection of connections) connection.close()
      },
    }
  } catch (error) {
    for (const connection of connections) connection.close()
    const reason = error instanceof Error ? error.message : 'error'
    throw new Error(`The database ${path} cannot be opened: ${reason}. Mend or move the file, or name another folder.`)
  }
}

/**
 * A transaction here begins with its first write, and takes the lock with it. One that began with a read would keep what it saw
 * then, and could only fail when it came to write and another process had written meanwhile: an account is made around the
 * hash of its password, which takes its time. So each statement sees what is committed by then, as in Postgres.
 */
class LateTransactions extends DatabaseSync {
  #isDue = false

  override prepare(sql: string): StatementSync {
    if (sql === 'begin') {
      this.#isDue = true
      return super.prepare(NOTHING)
    }
    if (!this.#isDue) return super.prepare(sql)
    if (READ.test(sql)) return super.prepare(sql)
    if (sql === 'commit' || sql === 'rollback') {
      this.#isDue = false
      return super.prepare(NOTHING)
    }
    super.exec('begin immediate')
    this.#isDue = false
    return super.prepare(sql)
  }
}

const READ = /^\s*select\b/i
const NOTHING = 'select 1 where false'

/** SQLite gives its journal files the mode of the database file, so the mode is right from the first byte. */
function createPrivate(path: string): void {
  closeSync(openSync(path, 'a', 0o600))
  chmodSync(path, 0o600)
}

function connect(path: string, timeout: number, connections: DatabaseSync[]): DatabaseSync {
  const connection = new DatabaseSync(path, { timeout })
  connections.push(connection)
  return connection
}

function run(connection: DatabaseSync, sql: string, values: readonly (string | number | null)[]) {
  const statement = connection.prepare(sql.replace(/\$(\d+)/g, '?$1'))
  if (statement.columns().length > 0) return statement.all(...values)
  statement.run(...values)
  return []
}

/**
 * Holds a file of its own locked: the database itself must stay writable for the work. The operating system drops the
 * lock with the process, and two callers in one process are two connections and so exclude each other too.
 */
async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = new DatabaseSync(path, { timeout: 0 })
  try {
    await whenFree(() => lock.exec('begin exclusive'), LOCK_WAIT_MS_MAX)
    return await work()
  } finally {
    lock.close()
  }
}

async function whenFree<T>(attempt: () => T, waitMsMax: number): Promise<T> {
  const startedAt = performance.now()
  for (;;) {
    try {
      return attempt()
    } catch (error) {
      if (!isBusy(error) || performance.now() - startedAt > waitMsMax) throw error
      await new Promise((resolve) => setTimeout(resolve, BUSY_RETRY_MS))
    }
  }
}

/** SQLITE_BUSY in the low byte of the extended code. */
function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | null)?.errcode
  return typeof code === 'number' && (code & 0xff) === 5
}
