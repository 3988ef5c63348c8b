/** What the command line does to users. Each change goes through the watched adapter, so it takes effect at once. */

import type { Auth, AuthContext } from './auth.ts'
import type { Endings } from './endings.ts'

export interface NewUser {
  readonly email: string
  readonly password: string
  readonly name: string
  readonly roles: readonly string[]
}

export interface Users {
  /** The new user's id. Rejects when the e-mail is taken or the password too weak. */
  create(user: NewUser): Promise<string>
  findByEmail(email: string): Promise<{ readonly id: string; readonly roles: readonly string[] } | null>
  setRoles(userId: string, roles: readonly string[]): Promise<void>
  /** Ends every session too. `untilMs` null means for good. */
  ban(userId: string, reason: string, untilMs: number | null): Promise<void>
  unban(userId: string): Promise<void>
  endSessions(userId: string): Promise<void>
}

const ROLE = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/

export function createUsers(auth: Auth, context: AuthContext, endings: Endings): Users {
  const { internalAdapter } = context
  return {
    async create({ email, password, name, roles }) {
      const { minPasswordLength, maxPasswordLength } = context.password.config
      if (password.length < minPasswordLength || password.length > maxPasswordLength) {
        throw new RangeError(`a password has ${minPasswordLength} to ${maxPasswordLength} characters`)
      }
      const role = joinRoles(roles)
      const { user } = await auth.api.createUser({ body: { email, password, name, data: { role } } })
      return user.id
    },
    async findByEmail(email) {
      const found = await internalAdapter.findUserByEmail(email.toLowerCase())
      if (found === null) return null
      const { role } = found.user as { role?: unknown }
      return { id: found.user.id, roles: typeof role === 'string' && role !== '' ? role.split(',') : [] }
    },
    async setRoles(userId, roles) {
      await internalAdapter.updateUser(userId, { role: joinRoles(roles) })
    },
    async ban(userId, reason, untilMs) {
      const banExpires = untilMs === null ? null : new Date(untilMs)
      await internalAdapter.updateUser(userId, { banned: true, banReason: reason, banExpires })
      await endings.endAllOf(userId)
    },
    async unban(userId) {
      await internalAdapter.updateUser(userId, { banned: false, banReason: null, banExpires: null })
    },
    endSessions: (userId) => endings.endAllOf(userId),
  }
}

/** Roles are stored as one text, so a comma in one would be two. */
function joinRoles(roles: readonly string[]): string {
  const bad = roles.find((role) => !ROLE.test(role))
  if (bad !== undefined) throw new RangeError(`a role has letters, digits and . _ : - only: ${JSON.stringify(bad)}`)
  return roles.join(',')
}
