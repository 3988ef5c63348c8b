/**
 * Whose request it is, as an address. Only a trusted proxy is believed about who stands behind it, and only as far as the
 * chain of trust reaches from our side: what stands to the left of the first stranger is the stranger's own writing.
 */

import { parseAddress, parseForwardedAddress } from '../http/address.ts'
import type { RequestHead } from '../model.ts'

/** For a socket without an address of its own, such as one already closed (RFC 7239 §6.2). No list of networks holds it. */
const UNKNOWN = 'unknown'
/** Proxies in a row that are walked through. */
const HOPS_MAX = 32

export function peerOf(peerAddress: string): string {
  return parseAddress(peerAddress) ?? UNKNOWN
}

/** Walks X-Forwarded-For from the right past trusted proxies. A member that is no address ends the walk at the last good one. */
export function clientAddressOf(
  isTrusted: (address: string) => boolean,
  peer: string,
  fields: Pick<RequestHead, 'headers' | 'names'>,
): string {
  let client = peer
  let hops = 0
  for (let line = fields.names.length - 1; line >= 0; line -= 1) {
    if (fields.names[line] !== 'x-forwarded-for') continue
    const value = fields.headers[2 * line + 1]!
    for (let end = value.length; end >= 0; ) {
      const comma = end === 0 ? -1 : value.lastIndexOf(',', end - 1)
      const address = parseForwardedAddress(value.slice(comma + 1, end).trim())
      hops += 1
      if (address === null || hops > HOPS_MAX) return client
      client = address
      if (!isTrusted(address)) return client
      end = comma
    }
  }
  return client
}
