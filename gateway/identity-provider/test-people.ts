/**
 * Brings the people of a policy file into a database under development, signed in as the file says. Nobody but the command
 * `postern token` asks for it, and that only where the gateway is for this machine alone.
 */

import type { Auth, AuthContext } from './auth.ts'
import type { CookieCodec } from './cookie.ts'
import type { Users } from './users.ts'

export interface TestPerson {
  readonly id: string
  readonly email: string
  readonly emailVerified: boolean
  readonly name: string
  readonly roles: readonly string[]
  /** RFC 8176. */
  readonly methods: readonly string[]
  readonly authenticatedAtMs: number
}

export interface TestPeople {
  /** Makes the user, or gives the one of this id what the person has. Rejects when the e-mail is somebody else's. */
  settle(person: TestPerson): Promise<void>
  /** A new session of a person who was settled: the token as it is sent in Authorization. */
  signIn(person: TestPerson): Promise<string>
  /** A JWT of this gateway that rests on a session of `signIn`. */
  jwtOf(sessionToken: string): Promise<string>
}

const FACTS = ['email', 'emailVerified', 'name'] as const

export function createTestPeople(
  auth: Auth,
  context: AuthContext,
  cookies: CookieCodec,
  users: Users,
  nowMs: () => number,
): TestPeople {
  const { adapter, internalAdapter } = context
  return {
    async settle({ id, email, emailVerified, name, roles }) {
      const holder = await internalAdapter.findUserByEmail(email.toLowerCase())
      if (holder !== null && holder.user.id !== id) {
        throw new RangeError(`${email} belongs to the user ${holder.user.id} here, and not to ${id}`)
      }
      const facts = { email: email.toLowerCase(), emailVerified, name }
      // What is written may end the sessions of this person, so what is the same is not.
      const known = (await internalAdapter.findUserById(id)) as (typeof facts & { readonly role?: unknown }) | null
      if (known === null) {
        const now = new Date(nowMs())
        const data = { id, ...facts, createdAt: now, updatedAt: now }
        await adapter.create({ model: 'user', data, forceAllowId: true })
      } else if (FACTS.some((fact) => known[fact] !== facts[fact])) await internalAdapter.updateUser(id, facts)
      if (known?.role !== roles.join(',')) await users.setRoles(id, roles)
    },
    async signIn({ id, methods, authenticatedAtMs }) {
      const { token } = await internalAdapter.createSession(id)
      const proven = { authenticatedAt: new Date(authenticatedAtMs), amr: methods.join(' ') }
      await adapter.update({ model: 'session', where: [{ field: 'token', value: token }], update: proven })
      return decodeURIComponent(cookies.sign(token))
    },
    async jwtOf(sessionToken) {
      const { token } = await auth.api.getToken({ headers: new Headers({ authorization: `Bearer ${sessionToken}` }) })
      return token
    },
  }
}
