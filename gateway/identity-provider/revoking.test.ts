/** Every action that revokes: what it writes, that another node honours it, and what is answered when Redis or the database is gone. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { primitives } from '../node/crypto.ts'
import type { RevocationRequest } from '../ports.ts'
import { OWN_SOURCE } from '../revocation/names.ts'
import { COOKIE, PASSWORD, STORE_KINDS } from '../test/ports/identity.ts'
import { adminOf, bring, type Person, sessionsLeft, signUp } from '../test/ports/revocable.ts'
import { until } from '../test/ports/switch.ts'
import { MAX_STALENESS_MS, SECRET, startTwoNodes, type TwoNodes } from '../test/ports/two-nodes.ts'
import { type PrivateServer, startRedis } from '../test/support/servers.ts'
import { cookieCodec } from './cookie.ts'
import { deriveKeys } from './secrets.ts'

interface Scene extends TwoNodes {
  readonly person: Person
  /** Headers of an administrator, for the identity provider in process. */
  readonly admin: Headers
  /** A key and a membership of the person, made where asked for. */
  readonly made: string
}

interface Action {
  readonly what: string
  readonly make?: (scene: Omit<Scene, 'made'>) => Promise<string>
  readonly act: (scene: Scene) => Promise<unknown>
  /** Entries, in order. */
  readonly entries: (scene: Scene) => readonly string[]
  /** What becomes of the person's two sessions. */
  readonly left: 'both' | 'own' | 'other' | 'none'
  /** Of a person who has one; for the others nothing is hashed. */
  readonly needsPassword?: true
}

const sha256 = primitives.sha256
const refreshSubject = ({ person }: Scene) => [`refresh subject:${person.id}`]
const command = (request: (scene: Scene) => RevocationRequest) => (scene: Scene) =>
  scene.here.revoker.revoke(request(scene))

async function makeKey({ inside, person }: Omit<Scene, 'made'>): Promise<string> {
  return (await inside.auth.api.createApiKey({ body: { userId: person.id, name: 'robot' } })).id
}
async function makeMembership({ inside, person }: Omit<Scene, 'made'>): Promise<string> {
  const organization = await inside.plain.create<Record<string, unknown>, { id: string }>({
    model: 'organization',
    data: { name: 'org', slug: `org-${person.id.toLowerCase()}`, createdAt: new Date() },
  })
  const member = await inside.plain.create<Record<string, unknown>, { id: string }>({
    model: 'member',
    data: { organizationId: organization.id, userId: person.id, role: 'member', createdAt: new Date() },
  })
  return member.id
}

const ACTIONS: readonly Action[] = [
  {
    what: 'sign-out',
    act: ({ person }) => person.client.send('POST', '/sign-out'),
    entries: ({ person }) => [`refresh session-token:${sha256(person.token)}`],
    left: 'other',
  },
  {
    what: 'revoke session',
    act: ({ person }) => person.client.send('POST', '/revoke-session', { token: person.other.token }),
    entries: ({ person }) => [`refresh session-token:${sha256(person.other.token)}`],
    left: 'own',
  },
  {
    what: 'revoke sessions',
    act: ({ person }) => person.client.send('POST', '/revoke-sessions'),
    entries: refreshSubject,
    left: 'none',
  },
  {
    what: 'revoke other sessions',
    act: ({ person }) => person.client.send('POST', '/revoke-other-sessions'),
    entries: refreshSubject,
    left: 'own',
  },
  {
    what: 'sign out everywhere, by command',
    act: ({ here, person }) => here.users.endSessions(person.id),
    entries: refreshSubject,
    left: 'none',
  },
  {
    what: 'password change',
    act: ({ person }) =>
      person.client.send('POST', '/change-password', { currentPassword: PASSWORD, newPassword: 'another password' }),
    entries: refreshSubject,
    left: 'none',
    needsPassword: true,
  },
  {
    what: 'password reset',
    async make({ inside, person }) {
      const { internalAdapter } = await inside.auth.$context
      const token = `reset-${person.id}`
      const expiresAt = new Date(Date.now() + 60_000)
      await internalAdapter.createVerificationValue({
        identifier: `reset-password:${token}`,
        value: person.id,
        expiresAt,
      })
      return token
    },
    act: ({ inside, made }) =>
      inside.auth.api.resetPassword({ body: { newPassword: 'another password', token: made } }),
    entries: refreshSubject,
    left: 'none',
    needsPassword: true,
  },
  {
    what: 'admin set-password',
    act: ({ inside, person, admin }) =>
      inside.auth.api.setUserPassword({ body: { userId: person.id, newPassword: 'another password' }, headers: admin }),
    entries: refreshSubject,
    left: 'none',
    needsPassword: true,
  },
  {
    what: 'ban',
    act: ({ here, person }) => here.users.ban(person.id, 'no more', null),
    entries: refreshSubject,
    left: 'none',
  },
  {
    what: 'delete user',
    act: ({ inside, person, admin }) => inside.auth.api.removeUser({ body: { userId: person.id }, headers: admin }),
    entries: ({ person }) => ['refresh', 'refresh', 'end'].map((effect) => `${effect} subject:${person.id}`),
    left: 'none',
    needsPassword: true,
  },
  {
    what: 'unverified e-mail replaced',
    act: async ({ inside, person }) =>
      (await inside.auth.$context).internalAdapter.updateUser(person.id, { email: `new-${person.email}` }),
    entries: refreshSubject,
    left: 'none',
  },
  {
    what: 'role change',
    act: ({ here, person }) => here.users.setRoles(person.id, ['editor']),
    entries: refreshSubject,
    left: 'both',
  },
  {
    what: 'organization role change',
    make: makeMembership,
    act: ({ inside, made }) =>
      inside.choke.adapter.update({
        model: 'member',
        where: [{ field: 'id', value: made }],
        update: { role: 'owner' },
      }),
    entries: refreshSubject,
    left: 'both',
  },
  {
    what: 'membership removed',
    make: makeMembership,
    act: ({ inside, made }) => inside.choke.adapter.delete({ model: 'member', where: [{ field: 'id', value: made }] }),
    entries: () => ['refresh everything'],
    left: 'both',
  },
  {
    what: 'key disabled',
    make: makeKey,
    act: ({ inside, person, made }) =>
      inside.auth.api.updateApiKey({ body: { keyId: made, userId: person.id, enabled: false } }),
    entries: ({ made }) => [`refresh key:${made}`],
    left: 'both',
  },
  {
    what: 'key deleted',
    make: makeKey,
    act: ({ inside, made }) => inside.choke.adapter.delete({ model: 'apikey', where: [{ field: 'id', value: made }] }),
    entries: ({ made }) => [`end key:${made}`],
    left: 'both',
  },
  {
    what: 'command: session',
    act: command(({ person }) => ({ kind: 'session', id: person.sessionId })),
    entries: ({ person }) => [`end session:${person.sessionId}`],
    left: 'other',
  },
  {
    what: 'command: subject',
    make: makeKey,
    act: command(({ person }) => ({ kind: 'subject', subject: person.id })),
    entries: ({ person }) => [`end subject:${person.id}`],
    left: 'none',
  },
  {
    what: 'command: subject of another issuer',
    act: command(() => ({ kind: 'subject', subject: 'ci:job-7' })),
    entries: () => ['end subject:ci:job-7'],
    left: 'both',
  },
  {
    what: 'command: token',
    act: command(() => ({ kind: 'token', source: 'ci', tokenId: 'j_1', subject: 'ci:job-7', expiresAtMs: null })),
    entries: () => ['end token:ci:j_1'],
    left: 'both',
  },
  {
    what: 'command: key',
    make: makeKey,
    act: command(({ made }) => ({ kind: 'key', id: made })),
    entries: ({ made }) => [`end key:${made}`],
    left: 'both',
  },
  {
    what: 'command: kid',
    act: command(() => ({ kind: 'kid', source: OWN_SOURCE, kid: 'no such key' })),
    entries: () => ['end kid:postern:no such key'],
    left: 'both',
  },
  {
    what: 'command: issuer',
    act: command(() => ({ kind: 'issuer', source: 'ci' })),
    entries: () => ['end issuer:ci'],
    left: 'both',
  },
  {
    what: 'command: everything',
    act: command(() => ({ kind: 'everything' })),
    entries: () => ['end everything'],
    left: 'none',
  },
]

let redis: PrivateServer
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.close())

for (const kind of STORE_KINDS) {
  for (const fault of ['nothing', 'Redis', 'the database'] as const) {
    describe(`${kind}, ${fault} stopped`, () => {
      let nodes: TwoNodes
      let admin: Awaited<ReturnType<typeof adminOf>> | null = null
      beforeAll(async () => {
        nodes = await startTwoNodes(kind, redis.url)
        if (fault === 'Redis') await redis.stop()
      })
      afterAll(async () => {
        await nodes.close()
        if (fault === 'Redis') await redis.start()
      })

      for (const [at, action] of ACTIONS.entries()) {
        test(`[FR-034] ${kind}, ${fault} stopped: ${action.what}`, async () => {
          const person = await (action.needsPassword ? signUp : bring)(nodes, `person${at}@example.com`)
          admin ??= await adminOf(nodes, 'admin@example.com')
          const made = (await action.make?.({ ...nodes, person, admin })) ?? ''
          const scene: Scene = { ...nodes, person, admin, made }
          await nodes.there.revocations.catchUp()
          expect(await sessionsLeft(nodes, person)).toBe('both')
          const head = await nodes.inside.head()
          const proofs = proofsOf(action.entries(scene), head)

          if (fault === 'the database') {
            await nodes.stopDatabase()
            const answer = await action.act(scene).catch(() => null)
            await nodes.startDatabase()
            if (answer !== null) expect((answer as Response).status).toBe(503)
            await until(() => nodes.here.provider.isReady())
            // Sessions are looked up by connections of their own.
            await until(async () => 'principal' in (await nodes.here.sessions.verifyCookie(person.cookie, Date.now())))
            expect(await nodes.inside.since(head)).toEqual([])
            expect(await sessionsLeft(nodes, person)).toBe('both')
            return
          }

          const answer = await action.act(scene)
          const answeredAt = performance.now()
          const isCarried = fault === 'nothing'
          if (answer instanceof Response) {
            expect(answer.status).toBe(200)
            expect(answer.headers.get('postern-revocation')).toBe(isCarried ? null : 'within=2s')
          } else if (isRevoked(answer)) {
            expect(answer).toEqual({ sequences: [head + 1], isCarried })
          }
          expect(await nodes.inside.since(head)).toEqual(action.entries(scene))
          for (const { proof, isEnd } of proofs) {
            expect([nodes.here.revocations.isDead(proof), nodes.here.revocations.isEnded(proof)]).toEqual([true, isEnd])
            const { isDead, isEnded } = nodes.there.revocations
            await until(() => isDead(proof) && (!isEnd || isEnded(proof))) // what refreshes may come before what ends
            expect(nodes.there.revocations.isEnded(proof)).toBe(isEnd)
          }
          expect(performance.now() - answeredAt).toBeLessThan(MAX_STALENESS_MS)
          expect(await sessionsLeft(nodes, person)).toBe(action.left)
          const keys = await nodes.inside.plain.count({ model: 'apikey', where: [{ field: 'id', value: made || '-' }] })
          expect(keys).toBe(action.make === makeKey && action.what === 'key disabled' ? 1 : 0)
        }, 20_000)
      }
    })
  }
}

for (const kind of STORE_KINDS) {
  test(`[FR-034] ${kind}: whoever acts in another's name and loses what allows it is out on every node`, async () => {
    const nodes = await startTwoNodes(kind, redis.url)
    const { here, there, inside } = nodes
    const victim = await bring(nodes, 'victim@example.com')
    const secrets = deriveKeys(primitives, [SECRET]).provider.map(({ value }) => value)
    const cookies = cookieCodec(primitives, secrets, { name: COOKIE, isSecure: false })
    const endings: readonly ((id: string) => Promise<unknown>)[] = [
      (id) => here.users.ban(id, 'no more', null),
      (id) => here.users.setRoles(id, []),
      (id) => here.revoker.revoke({ kind: 'subject', subject: id }),
      (id) => inside.choke.adapter.delete({ model: 'user', where: [{ field: 'id', value: id }] }),
    ]
    for (const [at, end] of endings.entries()) {
      const headers = await adminOf(nodes, `root${at}@example.com`)
      const { id } = (await here.users.findByEmail(`root${at}@example.com`))!
      const { session } = await inside.auth.api.impersonateUser({ body: { userId: victim.id }, headers })
      const signed = cookies.sign(session.token)
      const isIn = async () => {
        const found = await there.sessions.verifyCookie(signed, Date.now())
        return 'principal' in found && found.principal?.subject === victim.id
      }
      expect([at, await isIn()]).toEqual([at, true])
      await end(id)
      await until(async () => !(await isIn()))
      expect(await sessionsLeft(nodes, victim)).toBe('both')
    }
    await nodes.close()
  }, 30_000)
}

/** A credential of each name, that was verified when the log stood at `head`, and whether it is refused for good. */
function proofsOf(entries: readonly string[], sequence: number) {
  const names = new Set(entries.map((entry) => entry.slice(entry.indexOf(' ') + 1)))
  return [...names].map((name) => ({
    proof: { sequence, names: [name], issuedAtMs: null },
    isEnd: entries.includes(`end ${name}`),
  }))
}

function isRevoked(answer: unknown): answer is { sequences: readonly number[]; isCarried: boolean } {
  return typeof answer === 'object' && answer !== null && 'sequences' in answer
}
