/**
 * The first limit: by client address, before any cryptography, so that garbage cannot buy our CPU. It protects this node, so this
 * node counts it, in memory: asking anybody else would cost more than what it saves.
 */

import type { Refusal, RequestHead } from '../model.ts'
import type { Counters } from '../ports.ts'
import type { RateRule } from '../rules.ts'
import { refusalOf } from './charge.ts'

/** Null when the request is within the limit. */
export function limitAddress(rule: RateRule | null, counters: Counters, head: RequestHead): Refusal | null {
  if (rule === null) return null
  const consumed = counters.consumeHere(networkOf(head.clientAddress), rule, head.receivedAtMs)
  return refusalOf(consumed, 'address.limit')
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
