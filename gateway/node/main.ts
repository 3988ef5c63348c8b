/** Starts the gateway on Node. It listens only once everything behind it is ready, and closes in the reverse order. */

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createEndpoints } from '../endpoints/app.ts'
import type { ApiKeys } from '../identity-provider/api-keys.ts'
import type { Users } from '../identity-provider/users.ts'
import { recheck } from '../pipeline.ts'
import { adminDeps, createAdminServer } from './admin.ts'
import type { Config, Policy, PolicyFile } from './config-file.ts'
import { recentDecisions } from './decisions.ts'
import { ending } from './ending.ts'
import type { Gateway } from './gateway.ts'
import { SecureServer } from './http2/secure-server.ts'
import type { NodeJournal } from './journal.ts'
import { openMetrics } from './metrics.ts'
import { observed } from './observed.ts'
import { type OpenOptions, openAll } from './open.ts'
import { openExchanges } from './open-exchanges.ts'
import { openSockets } from './open-sockets.ts'
import { watchPolicy } from './policy-watch.ts'
import { watchLag } from './pressure/lag.ts'
import { openPressure, pressureLimits } from './pressure/pressure.ts'
import { relaySweep } from './relay-sweep.ts'
import { checkTests, isReadAgain, nameOf, type Reloaded, reloader } from './reload.ts'
import { createGatewayServer } from './server.ts'
import { CRASH_GRACE_MS, closeServer } from './shutdown.ts'
import { isStartupError, startupError } from './startup-error.ts'
import { openUpstreams, type UpstreamReport } from './upstream/upstreams.ts'
import { keepObjectsYoung } from './young-objects.ts'

export type GatewayOptions = OpenOptions

export interface RunningGateway {
  /** The public URL, without a trailing slash. */
  readonly origin: string
  /** Where it listens, as `http://127.0.0.1:8080`. */
  readonly url: string
  readonly users: Users
  readonly apiKeys: ApiKeys
  readonly signup: Config['login']['signup']
  /** Are limits counted with the other nodes? */
  limits(): { readonly isShared: boolean; readonly nodes: number }
  /** Of the policy in force, the first digits of its SHA-256, as the log shows them. */
  policyName(): string
  /** How upstreams and their servers stand now. */
  upstreams(): readonly UpstreamReport[]
  /** Puts another policy in force, or keeps the one there is: that of the file, or a text in its place. Never rejects. */
  reload(policy?: PolicyFile): Promise<Reloaded>
  /** Finishes what is in flight, within the bound of the policy, and closes everything. Never rejects. */
  close(how?: Closing): Promise<void>
}

/** `announced`: balancers are given the policy's time to notice. `crashed`: whatever can be done is done soon. */
export type Closing = 'now' | 'announced' | 'crashed'

/** Rejects with a startup error when an operator can mend it; whatever had been opened is closed again. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  keepObjectsYoung()
  const opened = await openAll(options)
  const { config, snapshot, identity, ports, close: closeStores } = opened
  const endpoints = createEndpoints({
    origin: snapshot.origin,
    sessionCookieName: snapshot.admission.sessionCookieName,
    provider: identity.provider,
    sessions: identity.sessions,
    sealer: identity.sealer,
    nowMs: Date.now,
    isEnding: () => end.isBegun,
    log: (error) => options.journal.fault('-', error),
  })
  const { journal } = options
  const end = ending()
  const lag = watchLag()
  const peers = options.peers ?? null
  const pressure = openPressure(pressureLimits(config.admission, peers?.count), lag)
  const fault = (error: unknown) => journal.fault('-', error)
  const decisions = recentDecisions()
  const exchanges = openExchanges({
    revocations: ports.revocations,
    recheck: (plan, nowMs) => recheck(source.current.snapshot, source.current.ports, plan, nowMs),
    snapshot: () => source.current.snapshot,
    maxStalenessMs: config.revocation.maxStaleness,
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    fault,
  })
  const upstreams = openUpstreams({ tell: (note) => journal.note(note) })
  upstreams.follow(snapshot)
  const metrics = openMetrics({
    policy: () => ({
      version: source.current.snapshot.version,
      inForceSinceMs: reloads.status.inForceSinceMs,
    }),
    reloads: () => ({ ...reloads.status, isLastRefused: reloads.status.last?.outcome === 'refused' }),
    certificateEndsAtMs: () => reloads.policy.tls.server?.expiresAtMs ?? null,
    openExchanges: () => exchanges.size,
    pressure,
    log: () => ({ ...identity.revocations.status(), isFresh: identity.revocations.isFresh() }),
    limits: opened.limits,
    decisions: () => decisions.size,
    upstreams: upstreams.report,
    peers,
  })
  /** Swapped whole: each exchange reads it once, at its start. */
  const source: { current: Gateway } = {
    current: {
      snapshot,
      ports: { ...ports, servers: upstreams, journal: observed(ports.journal, metrics, decisions) },
      endpoints,
      upstreams,
      sweep: relaySweep(),
      upgraded: openSockets(),
      exchanges,
      pressure,
      ending: end,
    },
  }
  const reloads = reloader({
    options,
    policy: opened.policy,
    tokens: opened.issuers,
    journal,
    nowMs: Date.now,
    swap(policy, tokens) {
      const { current } = source
      const before = reloads.policy
      source.current = { ...current, snapshot: policy.snapshot, ports: { ...current.ports, tokens } }
      exchanges.redecide()
      if (server instanceof SecureServer && policy.tls.server !== null) server.replace(policy.tls.server)
      pressure.follow(pressureLimits(policy.config.admission, peers?.count))
      upstreams.follow(policy.snapshot)
      metrics.policyChanged(before.config, policy.config)
      watch?.follow(policy.listFiles)
    },
  })
  const watch =
    options.isWatched === true && isReadAgain(options.policy.file)
      ? watchPolicy(opened.policy.listFiles, () => void reloads.reload(), unwatched)
      : null
  const { sweep, upgraded } = source.current
  sweep.add(exchanges)
  const server = createGatewayServer(source, opened.policy.tls.server)
  peers?.answer('decision', decisions.find)
  const views = { reloader: reloads, metrics, decisions, upstreams, pressure, ending: end, peers }
  const admin =
    config.admin === undefined
      ? null
      : createAdminServer({ listen: config.admin.listen, source, journal, deps: adminDeps(opened, views, journal) })
  const close = async (how: Closing = 'now') => {
    const { delay, grace } = reloads.policy.config.shutdown
    end.begin()
    if (how === 'announced') await new Promise((resolve) => setTimeout(resolve, delay))
    await watch?.close()
    await reloads.close()
    const graceMs = how === 'crashed' ? Math.min(grace, CRASH_GRACE_MS) : grace
    await closeServer(server, upgraded, exchanges, graceMs)
    await admin?.close()
    sweep.stop()
    lag.stop()
    exchanges.close()
    await upstreams.destroy()
    await closeStores()
    await journal.flush()
  }
  try {
    if (admin !== null) await listen(admin.server, config.admin!.listen)
    const url = await listen(server, config.listen)
    void tellTests(opened.policy, journal)
    return {
      origin: snapshot.origin,
      url,
      users: identity.users,
      apiKeys: identity.apiKeys,
      signup: config.login.signup,
      limits: opened.limits,
      policyName: () => nameOf(reloads.policy),
      upstreams: upstreams.report,
      reload: reloads.reload,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }

  function unwatched(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    journal.note(
      `the policy's folder cannot be watched: ${why}. A change is found a little later, or at once with SIGHUP.`,
    )
  }
}

/** A node that has nothing else to serve starts with a policy whose tests fail; it would not be put in place of another. */
async function tellTests(policy: Policy, journal: NodeJournal): Promise<void> {
  try {
    await checkTests(policy, Date.now())
  } catch (error) {
    if (isStartupError(error)) journal.note(`the policy in force breaks its own promises: ${error.message}`)
    else journal.fault('-', error)
  }
}

async function listen(server: Server, { host, port }: Config['listen']): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(explainListen(error, host, port)))
    server.listen(port, host, resolve)
  })
  const { port: actualPort } = server.address() as AddressInfo
  const scheme = server instanceof SecureServer ? 'https' : 'http'
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${actualPort}`
}

function explainListen(error: Error, host: string, port: number): Error {
  const code = 'code' in error ? error.code : ''
  if (code === 'EADDRINUSE') {
    return startupError(
      `Port ${port} on ${host} is in use. Stop what uses it, or choose another: \`PORT=${port + 1} npm start\`, or \`listen\` in the policy.`,
      error,
    )
  }
  if (code === 'EACCES')
    return startupError(`Port ${port} needs privileges this user lacks. Choose one above 1023.`, error)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return startupError(`${host} is not an address of this machine. Correct \`listen\` in the policy.`, error)
  }
  return error
}
