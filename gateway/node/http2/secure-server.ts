/**
 * TLS towards clients: node:https with its strict HTTP/1.1, and HTTP/2 on connections that agree to it (ALPN, RFC 7301). Other
 * protocols than these two are refused in the handshake, so that no other server's traffic is taken for ours.
 */

import { X509Certificate } from 'node:crypto'
import type { ServerOptions } from 'node:http'
import { Server } from 'node:https'
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { isFor, type ServerTls } from '../tls-files.ts'
import { type Http2Sessions, http2Sessions, type ServeHttp2 } from './sessions.ts'

/** Until the first byte, and from there to the end of the handshake. */
const HANDSHAKE_TIMEOUT_MS = 10_000
/** Any TLS connection begins with a record of this type (RFC 8446 §5.1), and no request of HTTP/1 with this byte. */
const HANDSHAKE = 0x16

export class SecureServer extends Server {
  readonly #sessions: Http2Sessions
  #named: readonly { readonly leaf: X509Certificate; readonly context: SecureContext }[] = []

  /** `refusePlain` gets connections on which no TLS is spoken, with what was sent on them. */
  constructor(options: ServerOptions, tls: ServerTls, serveHttp2: ServeHttp2, refusePlain: (socket: Socket) => void) {
    super({
      ...options,
      ...contextOf(tls, 0),
      ALPNProtocols: tls.isHttp2 ? ['h2', 'http/1.1'] : ['http/1.1'],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      SNICallback: (name, done) => done(null, this.#contextFor(name)),
    })
    this.#sessions = http2Sessions(serveHttp2)
    this.#named = namedContexts(tls)
    const [beginTls] = this.listeners('connection') as ((socket: Socket) => void)[]
    this.removeAllListeners('connection')
    this.on('connection', (socket: Socket) => {
      whenBegun(socket, (first) => (first === HANDSHAKE ? beginTls!.call(this, socket) : refusePlain(socket)))
    })
    const [serveHttp1] = this.listeners('secureConnection') as ((socket: TLSSocket) => void)[]
    this.removeAllListeners('secureConnection')
    this.on('secureConnection', (socket) => {
      if (socket.alpnProtocol === 'h2') this.#sessions.accept(socket)
      else serveHttp1!.call(this, socket)
    })
  }

  /** From the next handshake on these certificates are shown. */
  replace(tls: ServerTls): void {
    this.#named = namedContexts(tls)
    this.setSecureContext(contextOf(tls, 0))
  }

  /** Connections of HTTP/2 are told to end, and do so with their last stream. */
  endSessions(): void {
    this.#sessions.close()
  }

  override closeIdleConnections(): void {
    super.closeIdleConnections()
    this.endSessions()
  }

  override closeAllConnections(): void {
    super.closeAllConnections()
    this.#sessions.destroy()
  }

  #contextFor(name: string): SecureContext | undefined {
    return this.#named.find(({ leaf }) => isFor(leaf, name))?.context
  }
}

function contextOf({ certificates, minVersion }: ServerTls, at: number) {
  return { ...certificates[at]!, minVersion }
}

function namedContexts(tls: ServerTls) {
  return tls.certificates.map(({ cert }, at) => ({
    leaf: new X509Certificate(cert),
    context: createSecureContext(contextOf(tls, at)),
  }))
}

/** Looks at the first byte, and leaves it where it is. */
function whenBegun(socket: Socket, begin: (first: number) => void): void {
  const timer = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS).unref()
  const forget = () => clearTimeout(timer)
  socket.on('error', forget).once('close', forget)
  socket.once('readable', () => {
    forget()
    const first: Buffer | null = socket.read(1)
    if (first === null) return void socket.destroy()
    socket.unshift(first)
    begin(first[0]!)
  })
}
