/** Opens the database behind the identity provider: Postgres when a URL names one, else SQLite in the data folder. */

import type { Database } from '../../ports.ts'
import { openPostgres } from './postgres.ts'
import { openSqlite } from './sqlite.ts'

/**
 * `url` is `postgres://…` or null. `onFault` hears of connections that broke while nobody was using them.
 * Rejects with a message fit for an operator, never with the URL, which holds a password.
 */
export function openDatabase(
  url: string | null,
  dataDir: string,
  onFault: (error: unknown) => void = () => {},
): Promise<Database> {
  return url === null ? openSqlite(dataDir) : openPostgres(url, onFault)
}
