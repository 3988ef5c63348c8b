/** Opens what stands behind the gateway, in the order things depend on each other: policy, secret, stores, identity provider. */

import { availableParallelism } from 'node:os'
import { isLoopback } from '../config/network.ts'
import { auditTrail } from '../identity-provider/audit.ts'
import { hashing } from '../identity-provider/hashing.ts'
import { type OpenIdentityProvider, openIdentityProvider } from '../identity-provider/provider.ts'
import { revocationHistory } from '../identity-provider/revocation-history.ts'
import type { AuditTrail, Carrier, Counters, CredentialStore, Database, Ports, RevocationHistory } from '../ports.ts'
import type { Snapshot } from '../snapshot.ts'
import { openDatabase } from '../stores/database/open.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { type Config, loadPolicy, type Policy, type PolicyFile } from './config-file.ts'
import { primitives } from './crypto.ts'
import type { NodeJournal } from './journal.ts'
import { hashThreads } from './processes/hash-threads.ts'
import { type Peers, peersCarrier } from './processes/peers.ts'
import { processShare } from './processes/process-share.ts'
import { resolveSecrets } from './secret.ts'
import { startupError } from './startup-error.ts'
import { openTokens } from './token-issuers.ts'
import { type TokenSuccession, tokenSuccession } from './token-succession.ts'

export interface OpenOptions {
  readonly policy: PolicyFile
  readonly env: Readonly<Record<string, string | undefined>>
  /** Embedded database and secret live here; made when absent. */
  readonly dataDir: string
  readonly journal: NodeJournal
  /** Replaces the port of `listen`, and of `origin` where that is localhost. */
  readonly port?: number | null
  /** Replaces the URL of every upstream. */
  readonly upstreamUrl?: string | null
  /** Refuse to listen anywhere but on loopback. */
  readonly isLoopbackOnly?: boolean
  /** Reload the policy when its files change. */
  readonly isWatched?: boolean
  /** A command, beside which a gateway may be serving from the same stores. */
  readonly isCommand?: boolean
  /** The other processes of this node; absent or null where it has one. */
  readonly peers?: Peers | null
}

export interface Opened {
  /** As it was read at the start. */
  readonly policy: Policy
  readonly config: Config
  readonly snapshot: Snapshot
  readonly identity: OpenIdentityProvider
  readonly ports: Ports
  readonly audit: AuditTrail
  readonly history: RevocationHistory
  readonly database: Database
  readonly issuers: TokenSuccession
  /** Does Redis answer now? */
  readonly askRedis: () => Promise<'up' | 'down' | 'none'>
  /** Are limits counted with the other nodes, and how many were there when that was last known? */
  readonly limits: () => { readonly isShared: boolean; readonly nodes: number }
  /** Closes everything; never rejects. */
  close(): Promise<void>
}

/** Client addresses and sign-in limits counted at once on this node. */
const COUNTER_KEYS_MAX = 100_000

/** Rejects with a startup error when an operator can mend it; whatever had been opened is closed again. */
export async function openAll(options: OpenOptions): Promise<Opened> {
  const { journal, env, dataDir } = options
  const policy = loadPolicy(options.policy, env, {
    port: options.port ?? null,
    upstreamUrl: options.upstreamUrl ?? null,
    isTlsLeftOut: options.isCommand === true,
  })
  const { config, snapshot, warnings } = policy
  if (options.isLoopbackOnly === true && !isLoopback(config.listen.host)) {
    throw startupError(`The demo has known users, so it listens on loopback only, not on ${config.listen.host}.`)
  }
  for (const warning of warnings) journal.note(warning)
  const secrets = resolveSecrets({ given: config.store.secrets, because: secretReason(config, env), dataDir })
  const fault = (error: unknown) => journal.fault('-', error)

  const opened: (() => unknown)[] = []
  try {
    const database = await openStore(config, dataDir, fault)
    opened.push(() => database.close())
    const { isCommand = false, peers = null } = options
    const shared = await openShared(config, journal, opened, isCommand, peers?.count ?? 1)
    const { counters, limits, credentialStore, askRedis } = shared
    const isNodeAlone = database.kind === 'sqlite' && !isCommand
    const carrier = shared.carrier ?? (isNodeAlone && peers !== null ? peersCarrier(peers) : null)
    const { login } = config
    const threads = hashThreads()
    opened.push(() => threads.close())
    const identity = await openIdentityProvider({
      origin: snapshot.origin,
      cookieName: snapshot.admission.sessionCookieName,
      secrets,
      database,
      primitives,
      counters,
      carrier,
      isAlone: isNodeAlone && peers === null,
      credentialStore,
      hashing: hashing(availableParallelism() / 2 / (peers?.count ?? 1), threads, () => performance.now()),
      login: {
        signup: login.signup,
        ...login.session,
        signInLimit: login.rateLimits.signIn,
        signUpLimit: login.rateLimits.signUp,
      },
      keys: config.keys ?? null,
      maxStalenessMs: config.revocation.maxStaleness,
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      log: fault,
    }).catch((error: unknown) => {
      throw storeError(error)
    })
    opened.push(() => identity.close())
    const { sessions, keys, revocations, assertions, sealer } = identity
    // A command serves nobody, so it asks no issuer for its keys.
    const accepted = options.isCommand === true ? {} : config.tokens
    const issuers = await tokenSuccession(accepted, (tokens, before) => openTokens(tokens, identity, fault, before))
    opened.push(() => issuers.close())
    const tokens = issuers.current.verifier
    const known = { counters, sessions, tokens, keys, revocations, assertions, sealer, journal }
    const ports: Ports = { ...known, servers: null }
    const audit = auditTrail({ database, nowMs: Date.now, tell: (record) => journal.audit(record), log: fault })
    const history = revocationHistory(database)
    return {
      policy,
      config,
      snapshot,
      identity,
      ports,
      audit,
      history,
      database,
      askRedis,
      limits,
      issuers,
      close: () => closeAll(opened),
    }
  } catch (error) {
    await closeAll(opened)
    throw error
  }
}

/** Why a secret of our own making will not do; null when it will. */
export function secretReason({ store, origin }: Config, env: OpenOptions['env']): string | null {
  if (env.NODE_ENV === 'production') return 'NODE_ENV is production'
  if (origin.startsWith('https:')) return 'the origin is https'
  if (store.database !== undefined) return 'the database is shared (store.database)'
  return store.redis === undefined ? null : 'Redis is shared (store.redis)'
}

async function openStore({ store }: Config, dataDir: string, fault: (error: unknown) => void): Promise<Database> {
  try {
    return await openDatabase(store.database ?? null, dataDir, fault)
  } catch (error) {
    throw storeError(error)
  }
}

function storeError(error: unknown): Error {
  const why = error instanceof Error ? error.message : String(error)
  return startupError(`The database cannot be used: ${why}`, error)
}

interface Shared {
  readonly counters: Counters
  readonly limits: Opened['limits']
  readonly carrier: Carrier | null
  readonly credentialStore: CredentialStore | null
  readonly askRedis: Opened['askRedis']
}

/** What nodes share through Redis, for speed; its client is loaded only where it is used. */
async function openShared(
  { store }: Config,
  journal: NodeJournal,
  opened: (() => unknown)[],
  isCommand: boolean,
  processes: number,
): Promise<Shared> {
  const memory = memoryCounters(COUNTER_KEYS_MAX)
  const ofNode = processes === 1 ? memory : processShare(memory, processes)
  const alone: Shared = {
    counters: ofNode,
    limits: () => ({ isShared: false, nodes: processes }),
    carrier: null,
    credentialStore: null,
    askRedis: async () => 'none',
  }
  if (store.redis === undefined) return alone
  const [{ connectRedis }, { redisCounters }, { redisCarrier }, { redisCredentialStore }] = await Promise.all([
    import('../stores/redis/connect.ts'),
    import('../stores/redis/counters.ts'),
    import('../stores/redis/carrier.ts'),
    import('../stores/redis/credential-store.ts'),
  ])
  const fault = (error: unknown) => journal.fault('-', error)
  const redis = await connectRedis(store.redis, fault).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error)
    if (!isCommand) throw startupError(why, error)
    // The database is the truth: whatever Redis does, somebody can be locked out.
    journal.note(why)
    return null
  })
  if (redis === null) return alone
  opened.push(() => redis.disconnect())
  const carrier = redisCarrier(redis, store.redis, fault)
  opened.push(() => carrier.close())
  // A command serves nobody, so it is no node that others would leave a share to.
  const counters = isCommand
    ? null
    : redisCounters(redis, memory, (isShared, error) => {
        journal.note(isShared ? 'limits are shared again' : `limits are counted on this node alone: ${error}`)
      })
  if (counters !== null) opened.push(() => counters.close())
  return {
    // What a node counts by itself is counted by each of its processes, whatever Redis does.
    counters: counters === null ? ofNode : { ...counters, consumeHere: ofNode.consumeHere },
    limits: counters?.status ?? alone.limits,
    carrier,
    askRedis: () =>
      redis.ping().then(
        () => 'up',
        () => 'down',
      ),
    credentialStore: redisCredentialStore(redis, (isShared, error) => {
      journal.note(isShared ? 'verified credentials are shared again' : `verified credentials are not shared: ${error}`)
    }),
  }
}

/** In the reverse order of opening. A failure to close one thing keeps nothing else open. */
export async function closeAll(opened: (() => unknown)[]): Promise<void> {
  for (let close = opened.pop(); close !== undefined; close = opened.pop()) {
    try {
      await close()
    } catch {
      // Everything is going away; there is nothing left to protect.
    }
  }
}
