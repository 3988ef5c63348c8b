/** Credentials of every kind, each with the action that revokes it: what the measurements take one after the other. */

import { type Fleet, type Node, signInAt, tokenAt } from '../support/fleet.ts'
import type { Subject } from './measure.ts'
import type { TestIssuer } from './policy.ts'

export interface Stage {
  readonly fleet: Fleet
  readonly issuer: TestIssuer
  /** An admin's API key with the scope `admin`. */
  readonly adminKey: string
  readonly owner: { readonly id: string; readonly email: string }
  /** The node where actions are made; absent, they take turns. */
  readonly at?: Node
}

const ADMIN_EMAIL = 'root@example.com'

export async function createStage(fleet: Fleet, issuer: TestIssuer): Promise<Stage> {
  const made = await fleet.command(
    ['admin', 'create', '--email', ADMIN_EMAIL, '--password-stdin'],
    'correct horse battery staple\n',
  )
  if (!made.includes(ADMIN_EMAIL)) throw new Error(`no admin: ${made}`)
  const created = await fleet.command([
    'keys',
    'create',
    '--owner',
    ADMIN_EMAIL,
    '--name',
    'fleet',
    '--scope',
    'admin',
    '--json',
  ])
  const { key } = JSON.parse(created) as { key: string }
  const owner = await signInAt(fleet.nodes[0]!, fleet.origin, 'owner@example.com', true)
  return { fleet, issuer, adminKey: key, owner: { id: owner.id, email: 'owner@example.com' } }
}

type Make = (stage: Stage, name: string) => Promise<Subject>

const nodeFor = ({ fleet, at }: Stage, name: string): Node => at ?? fleet.nodes[numberIn(name) % fleet.nodes.length]!

function numberIn(name: string): number {
  return Number(/\d+/.exec(name)?.[0] ?? 0)
}

export const SUBJECTS: Readonly<Record<string, Make>> = {
  async 'session, by sign-out'(stage, name) {
    const { fleet } = stage
    const node = nodeFor(stage, name)
    const { cookie } = await signInAt(node, fleet.origin, `${name}@example.com`, true)
    return {
      kind: 'session, by sign-out',
      credential: { cookie },
      revoke: async () => {
        expectStatus(await node.send('POST', '/api/auth/sign-out', { cookie, origin: fleet.origin }, {}), 200)
      },
    }
  },
  async 'own token, by sign-out'(stage, name) {
    const { fleet } = stage
    const node = nodeFor(stage, name)
    const { cookie } = await signInAt(node, fleet.origin, `${name}@example.com`, true)
    const token = await tokenAt(node, cookie)
    return {
      kind: 'own token, by sign-out',
      credential: { authorization: `Bearer ${token}` },
      revoke: async () => {
        expectStatus(await node.send('POST', '/api/auth/sign-out', { cookie, origin: fleet.origin }, {}), 200)
      },
    }
  },
  async 'user, by the admin API'(stage, name) {
    const { fleet } = stage
    const { cookie, id } = await signInAt(fleet.nodes[0]!, fleet.origin, `${name}@example.com`, true)
    return {
      kind: 'user, by the admin API',
      credential: { cookie },
      revoke: () => revoke(stage, name, { kind: 'user', id }),
    }
  },
  async 'API key'(stage, name) {
    const created = await nodeFor(stage, name).admin('POST', '/v1/keys', stage.adminKey, {
      owner: stage.owner.id,
      name,
    })
    expectStatus(created, 201)
    const { id, key } = JSON.parse(created.body) as { id: string; key: string }
    return {
      kind: 'API key',
      credential: { 'x-api-key': key },
      revoke: async () => {
        expectStatus(await nodeFor(stage, name).admin('DELETE', `/v1/keys/${id}`, stage.adminKey), 200)
      },
    }
  },
  async 'foreign token, by jti'(stage, name) {
    const token = await stage.issuer.sign({ sub: `s-${name}`, jti: name })
    const body = { kind: 'token', source: 'ci', id: name }
    return { kind: 'foreign token, by jti', credential: bearer(token), revoke: () => revoke(stage, name, body) }
  },
  async 'foreign subject'(stage, name) {
    const token = await stage.issuer.sign({ sub: `s-${name}`, jti: name })
    const body = { kind: 'user', id: `ci:s-${name}` }
    return { kind: 'foreign subject', credential: bearer(token), revoke: () => revoke(stage, name, body) }
  },
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

async function revoke(stage: Stage, name: string, body: object): Promise<void> {
  expectStatus(await nodeFor(stage, name).admin('POST', '/v1/revocations', stage.adminKey, body), 201)
}

function expectStatus({ status, body }: { readonly status: number; readonly body: string }, wanted: number): void {
  if (status !== wanted) throw new Error(`answered ${status} and not ${wanted}: ${body}`)
}
