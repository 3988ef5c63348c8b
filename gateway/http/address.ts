/**
 * IP addresses in one spelling each, and the sets of them that are trusted. An address is compared only after it is
 * normalized, so `::ffff:10.0.0.1` is `10.0.0.1` and no octal or short form is ever understood.
 */

import ipaddr from 'ipaddr.js'

/** Answers remembered at once per question. Emptied when full, so strangers cannot fill memory. */
const REMEMBERED_MAX = 4096
/** The longest IPv6 spelling is 45 characters; a zone and a port may follow. */
const ADDRESS_CHARS_MAX = 80

const normalized = new Map<string, string | null>()

/** The address as RFC 5952 (or four decimals) spells it, or null when it is none. A zone (`%eth0`) is dropped. */
export function parseAddress(text: string): string | null {
  const known = normalized.get(text)
  if (known !== undefined) return known
  if (text.length > ADDRESS_CHARS_MAX) return null
  const address = normalize(text)
  if (normalized.size >= REMEMBERED_MAX) normalized.clear()
  normalized.set(text, address)
  return address
}

function normalize(text: string): string | null {
  if (isV4(text)) return text
  if (!text.includes(':')) return null
  const zone = text.indexOf('%')
  const bare = zone < 0 ? text : text.slice(0, zone)
  const tail = bare.slice(bare.lastIndexOf(':') + 1)
  // The library reads octal and hexadecimal there, and `::10.0.0.1` as if it were mapped (RFC 4291 §2.5.5.1: it is another address).
  if (tail.includes('.') && (!isV4(tail) || bare === `::${tail}`)) return null
  if (!ipaddr.IPv6.isValid(bare)) return null
  const address = ipaddr.IPv6.parse(bare)
  return address.isIPv4MappedAddress() ? address.toIPv4Address().toString() : address.toRFC5952String()
}

/** Four decimals without leading zeros: `010.0.0.1` is 8.0.0.1 to some and 10.0.0.1 to others, so it is nobody. */
function isV4(text: string): boolean {
  return V4.test(text)
}

const V4 = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/

/** As `parseAddress`, for a member of X-Forwarded-For: some proxies write `1.2.3.4:5678` or `[2001:db8::1]:5678`. */
export function parseForwardedAddress(text: string): string | null {
  const bracketed = /^\[([^\]]*)\](?::[0-9]{1,5})?$/.exec(text)
  if (bracketed !== null) return bracketed[1]!.includes(':') ? parseAddress(bracketed[1]!) : null
  const colon = text.indexOf(':')
  if (colon > 0 && /^\.?[0-9.]+:[0-9]{1,5}$/.test(text)) return parseAddress(text.slice(0, colon))
  return parseAddress(text)
}

/** A network: all addresses whose first `bits` bits are those of `address`. */
export interface Cidr {
  readonly address: ipaddr.IPv4 | ipaddr.IPv6
  readonly bits: number
}

/** `10.0.0.0/8`, `2001:db8::/32` or one address; null when it is neither. IPv4 inside IPv6 counts as IPv4. */
export function parseCidr(text: string): Cidr | null {
  const slash = text.indexOf('/')
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash))
  if (address === null || text.includes('%')) return null
  const parsed = ipaddr.parse(address)
  const width = parsed.kind() === 'ipv4' ? 32 : 128
  if (slash < 0) return { address: parsed, bits: width }
  const digits = text.slice(slash + 1)
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(digits)) return null
  const isMapped = width === 32 && text.includes(':')
  const bits = Number(digits) - (isMapped ? 96 : 0)
  return bits < 0 || bits > width ? null : { address: parsed, bits }
}

/** All networks of a list. Throws a TypeError that names the first that is none; ask `parseCidr` first to report kindly. */
export function parseCidrs(texts: readonly string[]): readonly Cidr[] {
  return texts.map((text) => {
    const cidr = parseCidr(text)
    if (cidr === null) throw new TypeError(`not an IP address or CIDR: ${text}`)
    return cidr
  })
}

/** Compiles a list of networks into a test of addresses. What is no address is in no network. */
export function compileNetworks(texts: readonly string[]): (address: string) => boolean {
  const cidrs = parseCidrs(texts)
  if (cidrs.length === 0) return () => false
  const answers = new Map<string, boolean>()
  return (address) => {
    const known = answers.get(address)
    if (known !== undefined) return known
    const normal = parseAddress(address)
    if (normal === null) return false
    const parsed = ipaddr.parse(normal)
    const isTrusted = cidrs.some(
      (cidr) => cidr.address.kind() === parsed.kind() && parsed.match(cidr.address, cidr.bits),
    )
    if (answers.size >= REMEMBERED_MAX) answers.clear()
    answers.set(address, isTrusted)
    return isTrusted
  }
}
