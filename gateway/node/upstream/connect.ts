/** Connections to a server for what shares none with other requests of HTTP/1.1: an upgrade, a session of HTTP/2. */

import { Agent } from 'node:http'
import { connect, type LookupFunction, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { bareHost, socketPathOf } from '../../http/authority.ts'
import type { UpstreamTls } from './tls.ts'

/**
 * `onReady` hears of it once the server is there, and has shown who it is; it fails by `error` before that. `protocols` are
 * offered by TLS (ALPN, RFC 7301), the dearest first.
 */
export function openConnection(
  origin: string,
  tls: UpstreamTls | null,
  protocols: string[],
  lookup: LookupFunction | null,
  onReady: (socket: Socket) => void,
): Socket {
  const where = { ...placeOf(origin), ...(lookup === null ? {} : { lookup }) }
  const socket = tls === null ? connect(where) : connectTls({ ...where, ...tls, ALPNProtocols: protocols })
  return socket.setNoDelay(true).once(tls === null ? 'connect' : 'secureConnect', () => onReady(socket))
}

/** As sockets take it. */
export function placeOf(origin: string): { readonly host: string; readonly port: number } | { readonly path: string } {
  const path = socketPathOf(origin)
  if (path !== null) return { path }
  const { protocol, hostname, port } = new URL(origin)
  return { host: bareHost(hostname), port: Number(port || (protocol === 'https:' ? 443 : 80)) }
}

/** Has one request sent on a connection that is there. */
export class AgentOf extends Agent {
  readonly #socket: Socket

  constructor(socket: Socket) {
    super({ keepAlive: false })
    this.#socket = socket
  }

  override createConnection(): Socket {
    return this.#socket
  }
}
