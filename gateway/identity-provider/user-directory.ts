/** Our users as the database holds them, read past every cache. */

import type { DBAdapter } from '@better-auth/core/db/adapter'
import type { LocalUser, UserDirectory } from '../ports.ts'
import { type Columns, parseUser } from './session-rows.ts'

export function userDirectory(lookups: DBAdapter): UserDirectory {
  return {
    async find(id) {
      const row = await lookups.findOne<Columns>({ model: 'user', where: [{ field: 'id', value: id }] })
      return row === null ? null : parseUser(row)
    },
  }
}

/** A ban that has run out is none. */
export function isBanned({ bannedUntilMs }: LocalUser, nowMs: number): boolean {
  return bannedUntilMs !== null && bannedUntilMs > nowMs
}
