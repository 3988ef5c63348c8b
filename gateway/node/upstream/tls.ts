/** What TLS to an upstream is told and checks: the server's own name, whatever Host the request carries. */

import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'

export interface UpstreamTls {
  /** Empty for an address, which is no name to ask for (RFC 6066 §3). */
  readonly servername: string
  checkServerIdentity(name: string, certificate: PeerCertificate): Error | undefined
}

/** Null for plain HTTP. */
export function upstreamTls({ protocol, hostname }: URL): UpstreamTls | null {
  if (protocol !== 'https:') return null
  const name = hostname.replace(/^\[|\]$/g, '')
  return {
    servername: isIP(name) === 0 ? name : '',
    checkServerIdentity: (_name, certificate) => checkServerIdentity(name, certificate),
  }
}
