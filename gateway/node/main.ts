/** Wires the gateway on Node, in the order things depend on each other, and listens only once all of it is ready. */

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createEndpoints } from '../endpoints/app.ts'
import { openIdentityProvider } from '../identity-provider/provider.ts'
import type { Users } from '../identity-provider/users.ts'
import type { Counters, Database, Ports } from '../ports.ts'
import { openDatabase } from '../stores/database/open.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { type Config, loadPolicy, type PolicyFile } from './config-file.ts'
import { primitives } from './crypto.ts'
import type { Gateway } from './gateway.ts'
import type { NodeJournal } from './journal.ts'
import { openSockets } from './open-sockets.ts'
import { relaySweep } from './relay-sweep.ts'
import { resolveSecrets } from './secret.ts'
import { createGatewayServer } from './server.ts'
import { closeServer } from './shutdown.ts'
import { startupError } from './startup-error.ts'
import { upstreamPools } from './upstream-pool.ts'

export interface GatewayOptions {
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

export interface RunningGateway {
  /** The public URL, without a trailing slash. */
  readonly origin: string
  /** Where it listens, as `http://127.0.0.1:8080`. */
  readonly url: string
  readonly users: Users
  readonly signup: 'open' | 'invite' | 'closed'
  /** Finishes what is in flight, within a bound, and closes everything. Safe to call twice. */
  close(): Promise<void>
}

/** Client addresses and sign-in limits counted at once on this node. */
const COUNTER_KEYS_MAX = 100_000
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/

/** Rejects with a startup error when an operator can mend it; whatever had been opened is closed again. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const { journal, env, dataDir } = options
  const opened: (() => unknown)[] = []
  const close = () => closeAll(opened)
  try {
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
        signInLimit: toRule(login.rateLimits.signIn),
        signUpLimit: toRule(login.rateLimits.signUp),
      },
      nowMs: Date.now,
      log: fault,
    })
    opened.push(() => identity.close())

    const { provider, sessions, tokens, assertions, sealer } = identity
    const ports: Ports = { counters, sessions, tokens, assertions, sealer, journal }
    const endpoints = createEndpoints({
      origin: snapshot.origin,
      sessionCookieName: snapshot.admission.sessionCookieName,
      provider,
      sessions,
      sealer,
      nowMs: Date.now,
      log: fault,
    })
    const gateway: Gateway = {
      snapshot,
      ports,
      endpoints,
      pools: upstreamPools(),
      sweep: relaySweep(),
      upgraded: openSockets(),
    }
    opened.push(
      () => gateway.pools.destroy(),
      () => gateway.sweep.stop(),
    )
    const server = createGatewayServer(gateway)
    const url = await listen(server, config.listen)
    opened.push(() => closeServer(server, gateway.upgraded))
    return { origin: snapshot.origin, url, users: identity.users, signup: login.signup, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Why a secret of our own making will not do; null when it will. */
function secretReason({ store, origin }: Config, env: GatewayOptions['env']): string | null {
  if (env['NODE_ENV'] === 'production') return 'NODE_ENV is production'
  if (origin.startsWith('https:')) return 'the origin is https'
  if (store.database !== undefined) return 'the database is shared (store.database)'
  return store.redis === undefined ? null : 'Redis is shared (store.redis)'
}

async function openStore({ store }: Config, dataDir: string, fault: (error: unknown) => void): Promise<Database> {
  try {
    return await openDatabase(store.database ?? null, dataDir, fault)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw startupError(`The database cannot be opened: ${why}`, error)
  }
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

function toRule({ count, windowMs }: { count: number; windowMs: number }) {
  return { burst: count, intervalMs: windowMs / count }
}

async function listen(server: Server, { host, port }: Config['listen']): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(explainListen(error, host, port)))
    server.listen(port, host, resolve)
  })
  const { port: actualPort } = server.address() as AddressInfo
  return `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`
}

function explainListen(error: Error, host: string, port: number): Error {
  const code = 'code' in error ? error.code : ''
  if (code === 'EADDRINUSE') {
    return startupError(
      `Port ${port} on ${host} is in use. Stop what uses it, or choose another: \`PORT=${port + 1} npm start\`, or \`listen\` in the policy.`,
      error,
    )
  }
  if (code === 'EACCES') return startupError(`Port ${port} needs privileges this user lacks. Choose one above 1023.`, error)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return startupError(`${host} is not an address of this machine. Correct \`listen\` in the policy.`, error)
  }
  return error
}

/** In the reverse order of opening. A failure to close one thing keeps nothing else open. */
async function closeAll(opened: (() => unknown)[]): Promise<void> {
  for (let close = opened.pop(); close !== undefined; close = opened.pop()) {
    try {
      await close()
    } catch {
      // Everything is going away; there is nothing left to protect.
    }
  }
}
