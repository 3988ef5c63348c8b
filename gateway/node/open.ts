/** Opens what stands behind the gateway, in the order things depend on each other: policy, secret, stores, identity provider. */

import { type OpenIdentityProvider, openIdentityProvider } from '../identity-provider/provider.ts'
import type { Counters, Database, Ports } from '../ports.ts'
import type { Snapshot } from '../snapshot.ts'
import { openDatabase } from '../stores/database/open.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { type Config, loadPolicy, type PolicyFile } from './config-file.ts'
import { primitives } from './crypto.ts'
import type { NodeJournal } from './journal.ts'
import { resolveSecrets } from './secret.ts'
import { startupError } from './startup-error.ts'

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
}

export interface Opened {
  readonly config: Config
  readonly snapshot: Snapshot
  readonly identity: OpenIdentityProvider
  readonly ports: Ports
  /** Closes everything; never rejects. */
  close(): Promise<void>
}

/** Client addresses and sign-in limits counted at once on this node. */
const COUNTER_KEYS_MAX = 100_000
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/

/** Rejects with a startup error when an operator can mend it; whatever had been opened is closed again. */
export async function openAll(options: OpenOptions): Promise<Opened> {
  const { journal, env, dataDir } = options
  const { config, snapshot, warnings } = loadPolicy(options.policy, env, {
    port: options.port ?? null,
    upstreamUrl: options.upstreamUrl ?? null,
  })
  if (options.isLoopbackOnly === true && !LOOPBACK.test(config.listen.host)) {
    throw startupError(`The demo has known users, so it listens on loopback only, not on ${config.listen.host}.`)
  }
  for (const warning of warnings) journal.note(warning)
  const secrets = resolveSecrets({ given: config.store.secrets, because: secretReason(config, env), dataDir })
  const fault = (error: unknown) => journal.fault('-', error)

  const opened: (() => unknown)[] = []
  try {
    const database = await openStore(config, dataDir, fault)
    opened.push(() => database.close())
    const counters = await openCounters(config, journal, opened)
    const { login } = config
    const identity = await openIdentityProvider({
      origin: snapshot.origin,
      cookieName: snapshot.admission.sessionCookieName,
      secrets,
      database,
      primitives,
      counters,
      login: {
        signup: login.signup,
        ...login.session,
        signInLimit: login.rateLimits.signIn,
        signUpLimit: login.rateLimits.signUp,
      },
      nowMs: Date.now,
      log: fault,
    }).catch((error: unknown) => {
      throw storeError(error)
    })
    opened.push(() => identity.close())
    const { sessions, tokens, assertions, sealer } = identity
    const ports: Ports = { counters, sessions, tokens, keys: null, revocations: null, assertions, sealer, journal }
    return { config, snapshot, identity, ports, close: () => closeAll(opened) }
  } catch (error) {
    await closeAll(opened)
    throw error
  }
}

/** Why a secret of our own making will not do; null when it will. */
function secretReason({ store, origin }: Config, env: OpenOptions['env']): string | null {
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

/** Redis makes counters shared; its client is loaded only where it is used. */
async function openCounters({ store }: Config, journal: NodeJournal, opened: (() => unknown)[]): Promise<Counters> {
  const memory = memoryCounters(COUNTER_KEYS_MAX)
  if (store.redis === undefined) return memory
  const [{ connectRedis }, { redisCounters }] = await Promise.all([
    import('../stores/redis/connect.ts'),
    import('../stores/redis/counters.ts'),
  ])
  const redis = await connectRedis(store.redis, (error) => journal.fault('-', error)).catch((error: unknown) => {
    throw startupError(error instanceof Error ? error.message : String(error), error)
  })
  opened.push(() => redis.disconnect())
  return redisCounters(redis, memory, (isShared, error) => {
    journal.note(isShared ? 'limits are shared again' : `limits are counted on this node alone: ${error}`)
  })
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
