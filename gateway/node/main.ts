/** Starts the gateway on Node. It listens only once everything behind it is ready, and closes in the reverse order. */

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createEndpoints } from '../endpoints/app.ts'
import type { ApiKeys } from '../identity-provider/api-keys.ts'
import type { Users } from '../identity-provider/users.ts'
import { recheck } from '../pipeline.ts'
import { adminDeps, createAdminServer } from './admin.ts'
import type { Config } from './config-file.ts'
import type { Gateway } from './gateway.ts'
import { type OpenOptions, openAll } from './open.ts'
import { openExchanges } from './open-exchanges.ts'
import { openSockets } from './open-sockets.ts'
import { relaySweep } from './relay-sweep.ts'
import { createGatewayServer } from './server.ts'
import { closeServer } from './shutdown.ts'
import { startupError } from './startup-error.ts'
import { upstreamPools } from './upstream-pool.ts'

export type GatewayOptions = OpenOptions

export interface RunningGateway {
  /** The public URL, without a trailing slash. */
  readonly origin: string
  /** Where it listens, as `http://127.0.0.1:8080`. */
  readonly url: string
  readonly users: Users
  readonly apiKeys: ApiKeys
  readonly signup: Config['login']['signup']
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
  const gateway: Gateway = {
    snapshot,
    ports,
    endpoints,
    pools: upstreamPools(),
    sweep: relaySweep(),
    upgraded: openSockets(),
    exchanges: openExchanges({
      revocations: ports.revocations,
      recheck: (plan, nowMs) => recheck(snapshot, ports, plan, nowMs),
      maxStalenessMs: config.revocation.maxStaleness,
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      fault: (error) => options.journal.fault('-', error),
    }),
  }
  gateway.sweep.add(gateway.exchanges)
  const server = createGatewayServer(gateway)
  const admin =
    config.admin === undefined
      ? null
      : createAdminServer({ listen: config.admin.listen, gateway, deps: adminDeps(opened, options.journal) })
  const close = async () => {
    await Promise.all([closeServer(server, gateway.upgraded), admin?.close()])
    gateway.sweep.stop()
    gateway.exchanges.close()
    await gateway.pools.destroy()
    await closeStores()
    await options.journal.flush()
  }
  try {
    if (admin !== null) await listen(admin.server, config.admin!.listen)
    const url = await listen(server, config.listen)
    return {
      origin: snapshot.origin,
      url,
      users: identity.users,
      apiKeys: identity.apiKeys,
      signup: config.login.signup,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
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
