/**
 * Names of servers may come to mean other addresses. Each new connection looks its name up by itself; this is for those that
 * are open, which would stay where they are for as long as they are busy enough.
 */

import { type LookupAddress, lookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { bareHost } from '../../http/authority.ts'

export interface NameWatch {
  close(): void
}

/** Connections to an address that is no longer among a name's are kept at most about this long. */
const LOOK_MS = 30_000

/** Null for an address, a socket and this machine, which are what they are. */
export function hostnameOf(origin: string): string | null {
  if (!/^https?:/.test(origin)) return null
  const name = bareHost(new URL(origin).hostname)
  return isIP(name) !== 0 || name === 'localhost' ? null : name
}

/** A look-up that fails changes nothing: what is connected goes on. */
export function watchName(
  name: string,
  find: LookupFunction | null,
  onChange: () => void,
  lookMs = LOOK_MS,
): NameWatch {
  let known: string | null = null
  let isClosed = false
  let timer: NodeJS.Timeout
  look()
  return {
    close() {
      isClosed = true
      clearTimeout(timer)
    },
  }

  function look(): void {
    ;(find ?? lookup)(name, { all: true }, found)
    timer = setTimeout(look, lookMs * (0.75 + Math.random() / 4)).unref()
  }

  function found(error: Error | null, addresses: string | readonly LookupAddress[]): void {
    if (isClosed || error !== null || typeof addresses === 'string' || addresses.length === 0) return
    const now = addresses
      .map(({ address }) => address)
      .sort()
      .join(' ')
    const isChanged = known !== null && now !== known
    known = now
    if (isChanged) onChange()
  }
}
