/** A gateway process with its admin API, an admin, and keys good and bad; and its database, to see what is really there. */

import { startUpstream } from '../../../upstream-mock/server.ts'
import type { Database } from '../../ports.ts'
import { openDatabase } from '../../stores/database/open.ts'
import { createIssuer, fleetPolicy, type TestIssuer } from '../fleet/policy.ts'
import { createStore, type StoreKind } from '../ports/identity.ts'
import { type Answer, type Fleet, type Node, type Signed, signInAt, startFleet } from './fleet.ts'

export const ADMIN_EMAIL = 'root@example.com'
const ADMIN_PASSWORD = 'correct horse battery staple'

export interface AdminStage {
  readonly fleet: Fleet
  readonly node: Node
  readonly issuer: TestIssuer
  readonly database: Database
  /** Of an admin, with the scope `admin`. */
  readonly key: string
  keyOf(email: string, scopes: readonly string[]): Promise<string>
  signIn(email: string, isNew: boolean): Promise<Signed>
  /** Status of a route that takes every kind of credential. */
  whoami(headers: Readonly<Record<string, string>>): Promise<number>
  /** A call of the admin API with the good key. */
  call(method: string, path: string, body?: object | null): Promise<Answer>
  /** Number of the newest entry of the log. */
  head(): Promise<number>
  audit(): Promise<readonly AuditRow[]>
  close(): Promise<void>
}

export interface AuditRow {
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly outcome: string
  readonly detail: string
  readonly requestId: string
  readonly clientAddress: string | null
}

export async function createAdminStage(kind: StoreKind, redisUrl: string | null = null): Promise<AdminStage> {
  const store = kind === 'postgres' ? await createStore(kind) : null
  const [upstream, issuer] = await Promise.all([startUpstream(), createIssuer()])
  // The issuer may even confer the role: it gains nothing at the admin API.
  const policy = fleetPolicy(issuer).replace('roles: [deployer]', 'roles: [deployer, admin]')
  const fleet = await startFleet({
    policy,
    upstreamUrl: upstream.url,
    databaseUrl: store?.url ?? null,
    redisUrl,
    count: 1,
  })
  const database = await openDatabase(store?.url ?? null, fleet.dataDir)
  await fleet.command(['admin', 'create', '--email', ADMIN_EMAIL, '--password-stdin'], `${ADMIN_PASSWORD}\n`)
  const keyOf = async (email: string, scopes: readonly string[]): Promise<string> => {
    const args = ['keys', 'create', '--owner', email, '--name', 'test', '--json']
    const made = await fleet.command([...args, ...scopes.flatMap((scope) => ['--scope', scope])])
    return (JSON.parse(made) as { key: string }).key
  }
  const node = fleet.nodes[0]!
  const key = await keyOf(ADMIN_EMAIL, ['admin'])
  return {
    fleet,
    node,
    issuer,
    database,
    key,
    keyOf,
    signIn: (email, isNew) => signInAt(node, fleet.origin, email, isNew),
    whoami: async (headers) => (await node.send('GET', '/api/whoami', headers)).status,
    call: (method, path, body = null) => node.admin(method, path, key, body),
    async head() {
      const [row] = await database.query('select sequence from postern_log')
      return Number(row!.sequence)
    },
    async audit() {
      const rows = await database.query(
        'select actor, action, target, outcome, detail, request_id, client_address from postern_audit order by at_ms',
      )
      return rows.map((row) => ({
        actor: String(row.actor),
        action: String(row.action),
        target: String(row.target),
        outcome: String(row.outcome),
        detail: String(row.detail),
        requestId: String(row.request_id),
        clientAddress: row.client_address === null ? null : String(row.client_address),
      }))
    },
    async close() {
      await fleet.close()
      await database.close()
      await upstream.close()
      await store?.remove()
    },
  }
}
