/**
 * Ending sessions on request. Done here and not by the identity provider's own endpoints: those answer "done" when the
 * database could not be read, and end at most a hundred sessions of many.
 */

import type { DBAdapter } from '@better-auth/core/db/adapter'

/** Rejects when the database did not do it; then nothing may be acknowledged. */
export interface Endings {
  endToken(token: string): Promise<void>
  /** Only a session of that user: a token is no proof of owning it. */
  endTokenOf(userId: string, token: string): Promise<void>
  endAllOf(userId: string): Promise<void>
  endAllButOne(userId: string, token: string): Promise<void>
}

/** `adapter` is the watched one, so whatever ends here is refused at once. */
export function createEndings(adapter: DBAdapter): Endings {
  const end = async (where: Parameters<DBAdapter['deleteMany']>[0]['where']): Promise<void> => {
    await adapter.deleteMany({ model: 'session', where })
  }
  const ofUser = (value: string) => ({ field: 'userId', value })
  return {
    endToken: (token) => end([{ field: 'token', value: token }]),
    endTokenOf: (userId, token) => end([{ field: 'token', value: token }, ofUser(userId)]),
    endAllOf: (userId) => end([ofUser(userId)]),
    endAllButOne: (userId, token) => end([ofUser(userId), { field: 'token', value: token, operator: 'ne' }]),
  }
}
