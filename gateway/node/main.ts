/** Starts the gateway on Node. It listens only once everything behind it is ready, and closes in the reverse order. */

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createEndpoints } from '../endpoints/app.ts'
import type { Users } from '../identity-provider/users.ts'
import type { Config } from './config-file.ts'
import type { Gateway } from './gateway.ts'
import { type OpenOptions, openAll } from './open.ts'
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
  readonly signup: Config['login']['signup']
  /** Finishes what is in flight, within a bound, and closes everything. */
  close(): Promise<void>
}

/** Rejects with a startup error when an operator can mend it; whatever had been opened is closed again. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const { config, snapshot, identity, ports, close: closeStores } = await openAll(options)
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
  }
  const server = createGatewayServer(gateway)
  const close = async () => {
    await closeServer(server, gateway.upgraded)
    gateway.sweep.stop()
    await gateway.pools.destroy()
    await closeStores()
    options.journal.flush()
  }
  try {
    const url = await listen(server, config.listen)
    return { origin: snapshot.origin, url, users: identity.users, signup: config.login.signup, close }
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
