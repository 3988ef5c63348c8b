/**
 * Everything compiled from one policy file: frozen, swapped whole, and kept by requests already under way.
 */

import type { HeaderList, Target } from './model.ts'
import type { RateRule, Route, Upstream } from './rules.ts'

/** What `admit` needs to read a request. */
export interface AdmissionRules {
  /** The public URL's parts. */
  readonly scheme: 'http' | 'https'
  readonly authority: string
  /** Is this lower-case authority served? Any other is 421. */
  readonly isServed: (authority: string) => boolean
  /** True for an address of a proxy whose X-Forwarded-* are believed. */
  readonly isTrusted: (address: string) => boolean
  /** Name of our session cookie, as `__Host-postern.session` or `postern.session`. */
  readonly sessionCookieName: string
  /** Lower-case name of the header that carries API keys; null where the policy accepts none. */
  readonly apiKeyHeader: string | null
  /** Lower-case field names outside [A-Za-z0-9-] that some route admits (SECURITY rule 6). */
  readonly allowHeaderNames: ReadonlySet<string>
  /** Some route keeps `%2F` as data; on all others it is refused once the route is known. */
  readonly isEncodedSlashAdmitted: boolean
  readonly targetBytesMax: number
}

/** Answers which route a target meets. Built by route/compile.ts, asked by route/match.ts. */
export interface RouteTable {
  /**
   * The route and captured params (percent-decoded) for an admitted authority and a canonical path, or null. Lenient: as the
   * most forgiving server reads it.
   */
  find(
    authority: string,
    path: string,
    isLenient?: boolean,
  ): { readonly route: Route; readonly params: Readonly<Record<string, string>> } | null
  /** Every route, in the order of the file; absent where nothing asks for them. */
  readonly all?: readonly Route[]
  /** Some pattern is spelled with upper case, so even a lower-case path needs the lenient look-up. */
  readonly isCaseMixed?: boolean
  /** Is this a path that the listener serves itself on this authority? */
  isOwn(authority: string, path: string): boolean
}

export interface Snapshot {
  /** SHA-256 of the policy file, lower-case hex. */
  readonly version: string
  readonly origin: string
  readonly admission: AdmissionRules
  readonly routes: RouteTable
  readonly upstreams: ReadonlyMap<string, Upstream>
  /** Per client address; null switches it off. */
  readonly addressLimit: RateRule | null
  /** What limits do while the shared counters cannot be reached. */
  readonly onCountersOutage: 'share' | 'refuse'
  /** Lower-case names that no client may send: every convention's, and those of explicit identity maps. */
  readonly reservedNames: ReadonlySet<string>
  /** Cookie names of ours: never forwarded, never accepted from an upstream. Prefix match. */
  readonly ownCookiePrefixes: readonly string[]
  readonly allowUnverifiedEmail: boolean
  /** Security headers of every answer of ours. */
  readonly ownHeaders: HeaderList
}

/** True for the paths the gateway serves itself; they are reserved on its origin (SECURITY rule 1). */
export function isOwnPath(path: Target['path']): boolean {
  return (
    path.startsWith('/api/auth/') ||
    path === '/api/auth' ||
    path.startsWith('/_postern/') ||
    path === '/_postern' ||
    path === '/.well-known/jwks.json'
  )
}
