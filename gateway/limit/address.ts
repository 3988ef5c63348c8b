/** The first limit: by client address, before any cryptography, so that garbage cannot buy our CPU. */

import type { RateRule, Refusal, RequestHead, Soon } from '../model.ts'
import type { Counters } from '../ports.ts'
import { charge } from './charge.ts'

/** Null when the request is within the limit. */
export function limitAddress(rule: RateRule | null, counters: Counters, head: RequestHead): Soon<Refusal | null> {
  if (rule === null) return null
  return charge(counters, `address:${networkOf(head.clientAddress)}`, rule, head.receivedAtMs, 'address.limit')
}

/** IPv4 counts whole; IPv6 as its /64, because one subscriber owns all of it (SECURITY rule 32). */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice(7)
  const [before = '', after] = address.split('::')
  const left = before === '' ? [] : before.split(':')
  const right = after === undefined || after === '' ? [] : after.split(':')
  const zeros = after === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  return `${[...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4).join(':')}::/64`
}
