/**
 * The admin listener: its own address, its own admission, the same server as the public one. It serves nothing but the admin
 * API; what is refused before the API is reached goes on record too (SECURITY rule 29).
 */

import type { Server } from 'node:http'
import { isLoopback } from '../config/network.ts'
import { createAdminEndpoints } from '../endpoints/admin/app.ts'
import type { AdminDeps, AdminStatus, LoadStatus, PolicyStatus } from '../endpoints/admin/deps.ts'
import { limitCredential } from '../limit/credential.ts'
import type { AuditTrail, Journal } from '../ports.ts'
import { OWN_SOURCE } from '../revocation/names.ts'
import type { AdmissionRules, Snapshot } from '../snapshot.ts'
import type { Config } from './config-file.ts'
import type { RecentDecisions } from './decisions.ts'
import { type Ending, ending } from './ending.ts'
import type { Gateway, GatewaySource } from './gateway.ts'
import type { Metrics } from './metrics.ts'
import type { Opened } from './open.ts'
import { openSockets } from './open-sockets.ts'
import { openPressure, type Pressure, type PressureLimits } from './pressure/pressure.ts'
import type { Peers } from './processes/peers.ts'
import type { Reloader } from './reload.ts'
import { createGatewayServer } from './server.ts'
import { closeServer } from './shutdown.ts'
import type { Upstreams } from './upstream/upstreams.ts'

export interface AdminServer {
  readonly server: Server
  close(): Promise<void>
}

export interface AdminServerOptions {
  readonly listen: NonNullable<Config['admin']>['listen']
  /** The public gateway: its policy and what watches over open connections. */
  readonly source: GatewaySource
  readonly journal: Journal
  readonly deps: AdminDeps
}

const GRACE_MS = 2_000
const LIMITS: PressureLimits = {
  connectionsMax: 1024,
  connectionsPerAddressMax: 256,
  inFlightMax: 256,
  inFlightPerAddressMax: 128,
  headTimeoutMs: 15_000,
  bodyIdleMs: 10_000,
}

/** All that this listener has; the rest is 404 before anybody is asked who they are. */
const OWN_PATHS = /^(?:\/v1\/.*|\/readyz|\/metrics)$/

export function createAdminServer({ listen, source, journal, deps }: AdminServerOptions): AdminServer {
  const upgraded = openSockets()
  const endpoints = createAdminEndpoints(deps)
  const audited = watched(journal, deps.audit)
  // Of its own, so that it can be asked whatever befalls the public one; and it ends after that one.
  const apart = { pressure: openPressure(LIMITS, null), ending: ending() }
  // The API finds out by itself who calls; nobody is sent to a page to sign in.
  const own = { sessions: null, tokens: null, keys: null, sealer: null, journal: audited }
  const derive = (gateway: Gateway): Gateway => ({
    ...gateway,
    snapshot: adminSnapshot(gateway.snapshot, listen, deps.keyHeader),
    ports: { ...gateway.ports, ...own },
    endpoints,
    upgraded,
    ...apart,
  })
  let derived = { of: source.current, gateway: derive(source.current) }
  const server = createGatewayServer({
    get current() {
      const { current } = source
      if (derived.of !== current) derived = { of: current, gateway: derive(current) }
      return derived.gateway
    },
  })
  return { server, close: () => closeServer(server, upgraded, null, GRACE_MS) }
}

/**
 * No route, no proxy in front, no cookie, and no name but the one that is listened on: a page of another site whose name is
 * made to point here gets 421.
 */
function adminSnapshot(snapshot: Snapshot, { host, port }: AdminServerOptions['listen'], keyHeader: string): Snapshot {
  const authorityOf = (name: string) => new URL(`http://${name.includes(':') ? `[${name}]` : name}:${port}`).host
  const authority = authorityOf(host)
  const authorities = new Set(isLoopback(host) ? [authority, authorityOf('localhost')] : [authority])
  const admission: AdmissionRules = {
    ...snapshot.admission,
    scheme: 'http',
    authority,
    isServed: (name: string) => authorities.has(name),
    isTrusted: () => false,
    apiKeyHeader: keyHeader,
    allowHeaderNames: new Set(),
  }
  return Object.freeze({
    ...snapshot,
    admission: Object.freeze(admission),
    routes: { find: () => null, isOwn: (_authority: string, path: string) => OWN_PATHS.test(path) },
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

export interface AdminViews {
  readonly reloader: Reloader
  readonly metrics: Metrics
  readonly decisions: RecentDecisions
  readonly upstreams: Upstreams
  readonly pressure: Pressure
  readonly ending: Ending
  /** Null where this process is all there is of the node. */
  readonly peers: Peers | null
}

/** What the API needs, of what was opened. */
export function adminDeps(opened: Opened, views: AdminViews, journal: Journal): AdminDeps {
  const { reloader, metrics, decisions, upstreams, pressure, ending, peers } = views
  const { config, snapshot, identity, ports, audit, history, database, askRedis, issuers, limits } = opened
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
    sources: () => new Set([...Object.keys(reloader.policy.config.tokens), OWN_SOURCE]),
    maxStalenessMs: config.revocation.maxStaleness,
    decision: async (id) => decisions.find(id) ?? (await askForDecision(peers, id)),
    metrics: metrics.scrape,
    status: async () => ({
      policyVersion: reloader.policy.snapshot.version,
      policy: policyStatus(reloader),
      proposals: await metrics.proposals(),
      log: { ...revocations.status(), isFresh: revocations.isFresh() },
      cache: credentials.status(),
      keySets: issuers.current.status(),
      limits: limits(),
      stores: {
        database: (await database.isReady().catch(() => false)) ? 'up' : 'down',
        redis: await askRedis(),
      },
      load: loadOf(pressure),
      unwellServers: unwellServers(upstreams),
      isEnding: ending.isBegun,
    }),
    nowMs: Date.now,
    log: (error) => journal.fault('-', error),
  }
}

/** Whichever process of this node decided it. */
async function askForDecision(peers: Peers | null, id: string): Promise<string | null> {
  const found = (await peers?.ask('decision', id))?.answers[0]
  return typeof found === 'string' ? found : null
}

function unwellServers(upstreams: Upstreams): AdminStatus['unwellServers'] {
  return upstreams
    .report()
    .flatMap(({ id, servers }) =>
      servers.flatMap(({ origin, state }) => (state === 'up' ? [] : [{ upstream: id, server: origin, state }])),
    )
}

function loadOf({ connections, inFlightCount, lag }: Pressure): LoadStatus {
  return {
    connections: connections.open,
    inFlight: inFlightCount,
    lagMs: Math.round(lag?.lagMs ?? 0),
    shedShare: lag?.shedShare ?? 0,
  }
}

function policyStatus({ policy, status }: Reloader): PolicyStatus {
  const { inForceSinceMs, done, refused, last } = status
  return {
    version: policy.snapshot.version,
    inForceSince: new Date(inForceSinceMs).toISOString(),
    reloads: { done, refused },
    lastReload:
      last === null ? null : { at: new Date(last.atMs).toISOString(), outcome: last.outcome, problem: last.problem },
  }
}
