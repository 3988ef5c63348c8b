/** What TLS to an upstream is told and checks: the server's own name, whatever Host the request carries. */

import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { bareHost } from '../../http/authority.ts'
import type { ServerWay } from '../tls-files.ts'

export interface UpstreamTls {
  /** Empty for an address, which is no name to ask for (RFC 6066 §3). */
  readonly servername: string
  checkServerIdentity(name: string, certificate: PeerCertificate): Error | undefined
  /** In place of the system's issuers. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

/** Null for plain HTTP, and for sockets. */
export function upstreamTls(
  origin: string,
  { ca, certificate, serverName }: Omit<ServerWay, 'isHttp2'>,
): UpstreamTls | null {
  if (!origin.startsWith('https:')) return null
  const name = serverName ?? bareHost(new URL(origin).hostname)
  return {
    servername: isIP(name) === 0 ? name : '',
    checkServerIdentity: (_name, peer) => checkServerIdentity(name, peer),
    ...(ca === null ? {} : { ca }),
    ...certificate,
  }
}
