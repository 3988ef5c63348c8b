/** What an address or host of the policy says about the network it is in: loopback, private, or anywhere. */

import { compileNetworks, parseAddress } from '../http/address.ts'
import { bareHost } from '../http/authority.ts'

const isLoopbackAddress = compileNetworks(['127.0.0.0/8', '::1/128'])
/** RFC 1918, RFC 4193, link-local and RFC 6598 (what carriers and overlay networks use). */
const isPrivateAddress = compileNetworks([
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', '100.64.0.0/10'],
  ...['fc00::/7', 'fe80::/10'],
])
/** Names that only private resolvers answer (RFC 6762, RFC 8375, and what clusters use). */
const PRIVATE_NAME = /(?:^|\.)(?:internal|local|lan|home\.arpa|svc|cluster\.local)$/

export type Reach = 'loopback' | 'private' | 'anywhere'

/** How far away a host can be, by its name or address alone: nothing is resolved. */
export function reachOf(host: string): Reach {
  const name = bareName(host)
  if (isLoopback(name) || name.endsWith('.localhost')) return 'loopback'
  if (parseAddress(name) !== null) return isPrivateAddress(name) ? 'private' : 'anywhere'
  const isNumeric = /^[\d.x]+$/.test(name)
  return !isNumeric && (!name.includes('.') || PRIVATE_NAME.test(name)) ? 'private' : 'anywhere'
}

/** This machine and no other, whatever its resolver says of `*.localhost`. */
export function isLoopback(host: string): boolean {
  const name = bareName(host)
  return name === 'localhost' || isLoopbackAddress(name)
}

function bareName(host: string): string {
  return bareHost(host).replace(/\.$/, '').toLowerCase()
}

/** Listens on every interface. */
export function isUnspecified(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}
