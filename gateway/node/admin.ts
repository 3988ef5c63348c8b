/**
 * The admin listener: its own address, its own admission, the same server as the public one. It serves nothing but the admin
 * API; what is refused before the API is reached goes on record too (SECURITY rule 29).
 */

import type { Server } from 'node:http'
import { createAdminEndpoints } from '../endpoints/admin/app.ts'
import type { AdminDeps } from '../endpoints/admin/deps.ts'
import { limitCredential } from '../limit/credential.ts'
import type { AuditTrail, Journal } from '../ports.ts'
import { OWN_SOURCE } from '../revocation/names.ts'
import type { AdmissionRules, Snapshot } from '../snapshot.ts'
import type { Config } from './config-file.ts'
import type { Gateway } from './gateway.ts'
import type { Opened } from './open.ts'
import { openSockets } from './open-sockets.ts'
import { createGatewayServer } from './server.ts'
import { closeServer } from './shutdown.ts'

export interface AdminServer {
  readonly server: Server
  close(): Promise<void>
}

export interface AdminServerOptions {
  readonly listen: NonNullable<Config['admin']>['listen']
  /** The public gateway: its policy, its journal and what watches over open connections. */
  readonly gateway: Gateway
  readonly deps: AdminDeps
}

const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/

export function createAdminServer({ listen, gateway, deps }: AdminServerOptions): AdminServer {
  const { snapshot, ports } = gateway
  const upgraded = openSockets()
  const server = createGatewayServer({
    ...gateway,
    snapshot: adminSnapshot(snapshot, listen, deps.keyHeader),
    // The API finds out by itself who calls; nobody is sent to a page to sign in.
    ports: {
      ...ports,
      sessions: null,
      tokens: null,
      keys: null,
      sealer: null,
      journal: watched(ports.journal, deps.audit),
    },
    endpoints: createAdminEndpoints(deps),
    upgraded,
  })
  return { server, close: () => closeServer(server, upgraded) }
}

/**
 * No route, no proxy in front, no cookie, and no name but the one that is listened on: a page of another site whose name is
 * made to point here gets 421.
 */
function adminSnapshot(snapshot: Snapshot, { host, port }: AdminServerOptions['listen'], keyHeader: string): Snapshot {
  const authorityOf = (name: string) => new URL(`http://${name.includes(':') ? `[${name}]` : name}:${port}`).host
  const authority = authorityOf(host)
  const authorities = new Set(LOOPBACK.test(host) ? [authority, authorityOf('localhost')] : [authority])
  const admission: AdmissionRules = {
    ...snapshot.admission,
    scheme: 'http',
    authority,
    authorities,
    isTrusted: () => false,
    apiKeyHeader: keyHeader,
    allowHeaderNames: new Set(),
  }
  return Object.freeze({
    ...snapshot,
    admission: Object.freeze(admission),
    routes: { find: () => null, isOwn: (path: string) => path.startsWith('/v1/') || path === '/readyz' },
    upstreams: new Map(),
    reservedNames: new Set<string>(),
  })
}

/** Refusals that the API did not see: of admission, of the limit, of paths that are not there. */
function watched(journal: Journal, audit: AuditTrail): Journal {
  return {
    record(record) {
      journal.record(record)
      const { reason, method, path, requestId, clientAddress } = record
      if (reason === null) return
      void audit.refuse({ actor: '-', action: method, target: path, requestId, clientAddress }, reason)
    },
    fault: (requestId, error) => journal.fault(requestId, error),
  }
}

/** What the API needs, of what was opened. */
export function adminDeps(opened: Opened, journal: Journal): AdminDeps {
  const { config, snapshot, identity, ports, audit, history, database, askRedis, keySets } = opened
  const { revocations, revoker, sessions, apiKeys, credentials } = identity
  return {
    origin: snapshot.origin,
    keyHeader: config.keys?.header.toLowerCase() ?? 'x-api-key',
    keys: ports.keys,
    sessions,
    revocations,
    limit: (authentication, nowMs) => limitCredential(ports.counters, authentication, nowMs),
    revoker,
    history,
    desk: apiKeys,
    audit,
    sources: new Set([...Object.keys(config.tokens), OWN_SOURCE]),
    maxStalenessMs: config.revocation.maxStaleness,
    status: async () => ({
      policyVersion: snapshot.version,
      log: { ...revocations.status(), isFresh: revocations.isFresh() },
      cache: credentials.status(),
      keySets: keySets(),
      stores: {
        database: (await database.isReady().catch(() => false)) ? 'up' : 'down',
        redis: await askRedis(),
      },
    }),
    nowMs: Date.now,
    log: (error) => journal.fault('-', error),
  }
}
