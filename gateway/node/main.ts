/** Starts the gateway on Node. It listens only once everything behind it is ready, and closes in the reverse order. */

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createEndpoints } from '../endpoints/app.ts'
import type { ApiKeys } from '../identity-provider/api-keys.ts'
import type { Users } from '../identity-provider/users.ts'
import { recheck } from '../pipeline.ts'
import type { Snapshot } from '../snapshot.ts'
import { adminDeps, createAdminServer } from './admin.ts'
import type { Config, Policy, PolicyFile } from './config-file.ts'
import { recentDecisions } from './decisions.ts'
import type { Gateway } from './gateway.ts'
import type { NodeJournal } from './journal.ts'
import { openMetrics } from './metrics.ts'
import { observed } from './observed.ts'
import { type OpenOptions, openAll } from './open.ts'
import { openExchanges } from './open-exchanges.ts'
import { openSockets } from './open-sockets.ts'
import { watchPolicy } from './policy-watch.ts'
import { relaySweep } from './relay-sweep.ts'
import { checkTests, isReadAgain, nameOf, type Reloaded, reloader } from './reload.ts'
import { createGatewayServer } from './server.ts'
import { closeServer } from './shutdown.ts'
import { isStartupError, startupError } from './startup-error.ts'
import { openUpstreams } from './upstream/upstreams.ts'

export type GatewayOptions = OpenOptions

export interface RunningGateway {
  /** The public URL, without a trailing slash. */
  readonly origin: string
  /** Where it listens, as `http://127.0.0.1:8080`. */
  readonly url: string
  readonly users: Users
  readonly apiKeys: ApiKeys
  readonly signup: Config['login']['signup']
  /** Of the policy in force, the first digits of its SHA-256, as the log shows them. */
  policyName(): string
  /** Puts another policy in force, or keeps the one there is: that of the file, or a text in its place. Never rejects. */
  reload(policy?: PolicyFile): Promise<Reloaded>
  /** Finishes what is in flight, within a bound, and closes everything. */
  close(): Promise<void>
}

/** Rejects with a startup error when an operator can mend it; whatever had been opened is closed again. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const opened = await openAll(options)
  const { config, snapshot, identity, ports, close: closeStores } = opened
  const endpoints = createEndpoints({
    origin: snapshot.origin,
    sessionCookieName: snapshot.admission.sessionCookieName,
    provider: identity.provider,
    sessions: identity.sessions,
    sealer: identity.sealer,
    nowMs: Date.now,
    log: (error) => options.journal.fault('-', error),
  })
  const { journal } = options
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
  const metrics = openMetrics({
    policy: () => ({
      version: source.current.snapshot.version,
      inForceSinceMs: reloads.status.inForceSinceMs,
    }),
    reloads: () => ({ ...reloads.status, isLastRefused: reloads.status.last?.outcome === 'refused' }),
    openExchanges: () => exchanges.size,
    log: () => ({ ...identity.revocations.status(), isFresh: identity.revocations.isFresh() }),
    limits: opened.limits,
    decisions: () => decisions.size,
  })
  /** Swapped whole: each exchange reads it once, at its start. */
  const source: { current: Gateway } = {
    current: {
      snapshot,
      ports: { ...ports, journal: observed(ports.journal, metrics, decisions) },
      endpoints,
      upstreams: openUpstreams(),
      sweep: relaySweep(),
      upgraded: openSockets(),
      exchanges,
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
      current.upstreams.keep(originsOf(policy.snapshot))
      metrics.policyChanged(before.config, policy.config)
      watch?.follow(policy.listFiles)
    },
  })
  const watch =
    options.isWatched === true && isReadAgain(options.policy.file)
      ? watchPolicy(opened.policy.listFiles, () => void reloads.reload(), unwatched)
      : null
  const { upstreams, sweep, upgraded } = source.current
  sweep.add(exchanges)
  const server = createGatewayServer(source)
  const views = { reloader: reloads, metrics, decisions }
  const admin =
    config.admin === undefined
      ? null
      : createAdminServer({ listen: config.admin.listen, source, journal, deps: adminDeps(opened, views, journal) })
  const close = async () => {
    await watch?.close()
    await reloads.close()
    await Promise.all([closeServer(server, upgraded), admin?.close()])
    sweep.stop()
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
      policyName: () => nameOf(reloads.policy),
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

function originsOf({ upstreams }: Snapshot): ReadonlySet<string> {
  return new Set([...upstreams.values()].flatMap(({ servers }) => servers.map(({ origin }) => origin)))
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
  if (code === 'EACCES')
    return startupError(`Port ${port} needs privileges this user lacks. Choose one above 1023.`, error)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return startupError(`${host} is not an address of this machine. Correct \`listen\` in the policy.`, error)
  }
  return error
}
