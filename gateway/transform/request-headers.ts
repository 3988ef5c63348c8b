/**
 * Composes the field lines an upstream sees (SECURITY rules 7, 10 and 11): first everything forgeable is left out, then what
 * we know is written, last, so that nothing a client sends can stand in its place or take it away.
 */

import { hostOf } from '../http/authority.ts'
import { ownCookies, withoutOwnCookies } from '../http/cookies.ts'
import { byName } from '../http/field-line.ts'
import { isHopByHop, isReserved } from '../http/field-names.ts'
import { nominatedNames } from '../http/header-list.ts'
import { type HeaderList, type Principal, Refusal, type RequestHead } from '../model.ts'
import type { Route, Upstream } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { pushEdits } from './edits.ts'
import { type IdentityLines, identityLines } from './identity-lines.ts'
import { takesTrailers } from './trailers.ts'

export function upstreamHeaders(
  snapshot: Snapshot,
  route: Route,
  upstream: Upstream,
  head: RequestHead,
  principal: Principal | null,
  assertion: string | null,
  origin: string,
): { readonly headers: HeaderList; readonly droppedGroups: number } | Refusal {
  const identity = principal === null ? null : identityOf(snapshot, upstream, principal)
  if (identity instanceof Refusal) return identity
  const { authority, scheme } = head.target
  const lines: string[] = ['Host', upstream.host === 'public' ? authority : hostOf(origin)]
  keepClientLines(lines, snapshot, route, head, allowedHere(route, upstream))
  if (route.requestEdits !== null) pushEdits(lines, route.requestEdits)
  lines.push('X-Forwarded-For', head.clientAddress, 'X-Forwarded-Proto', scheme, 'X-Forwarded-Host', authority)
  lines.push('Forwarded', forwarded(head.clientAddress, scheme, authority), 'X-Request-Id', head.requestId)
  if (identity !== null) for (const text of identity.lines) lines.push(text)
  if (assertion !== null) lines.push('X-Postern-Assertion', assertion)
  return { headers: lines, droppedGroups: identity === null ? 0 : identity.droppedGroups }
}

/** Names the route asks for. Where Authorization says who calls, a client's own never gets there, whatever the route asks. */
function allowedHere({ allowRequestHeaders }: Route, { identity }: Upstream): ReadonlySet<string> {
  return identity.preset === 'basic' ? NOTHING : allowRequestHeaders
}

function keepClientLines(
  lines: string[],
  snapshot: Snapshot,
  { requestEdits }: Route,
  head: RequestHead,
  allowed: ReadonlySet<string>,
): void {
  const { names, headers } = head
  const nominated = nominatedNames(headers)
  let isTrailed = false
  for (let at = 0; at < names.length; at += 1) {
    const lower = names[at]!
    const fate = fateOf(lower)
    if (fate === 'drop') continue
    if (fate !== 'cookie' && fate !== 'keep') {
      if (fate === 'te') isTrailed ||= !head.isUpgrade && takesTrailers(headers[2 * at + 1]!)
      if (!allowed.has(lower) || fate === 'te') continue
    }
    const name = fate === 'ask' ? aliasOf(lower) : lower
    if (snapshot.reservedNames.has(name) || nominated?.has(lower) || requestEdits?.remove.has(name)) continue
    const value = headers[2 * at + 1]!
    if (fate !== 'cookie') {
      lines.push(headers[2 * at]!, value)
      continue
    }
    const rest = withoutOwnCookies(value, ownCookies(snapshot.ownCookiePrefixes))
    if (rest !== null) lines.push(headers[2 * at]!, rest)
  }
  if (isTrailed && !requestEdits?.remove.has('te')) lines.push('TE', 'trailers')
}

/** What becomes of a client's field: `ask` is dropped unless its route asks for it by name, of `te` only what we speak too is said anew. */
type Fate = 'keep' | 'drop' | 'ask' | 'cookie' | 'te'

/** Of every name but those of explicit maps. */
const fateOf = byName<Fate>((lower) => {
  if (lower === 'te') return 'te'
  const alias = aliasOf(lower)
  if (isHopByHop(alias) || REWRITTEN.has(alias) || isReserved(alias, NOTHING)) return 'drop'
  if (alias !== lower && (alias === 'cookie' || CREDENTIALS.has(alias))) return 'drop'
  if (lower === 'cookie') return 'cookie'
  return alias !== lower || CREDENTIALS.has(lower) ? 'ask' : 'keep'
})

/** To CGI, WSGI and PHP `x_user` and `x.user` are `x-user`. */
function aliasOf(lower: string): string {
  return lower.replace(/[^a-z0-9-]/g, '-')
}

const NOTHING: ReadonlySet<string> = new Set()
/** Written by us or, the framing of the body and the answer to Expect, by the runtime. */
const REWRITTEN: ReadonlySet<string> = new Set(['content-length', 'cookie2', 'expect', 'host', 'x-request-id'])
/** Proofs meant for this gateway; a backend needs its own only where the policy says so. */
const CREDENTIALS: ReadonlySet<string> = new Set(['authorization', 'x-api-key'])

/** RFC 7239 §4 and §6: a host with a port and an IPv6 address are quoted, the latter in brackets. */
function forwarded(clientAddress: string, scheme: string, authority: string): string {
  const client = clientAddress.includes(':') ? `"[${clientAddress}]"` : clientAddress
  return `for=${client};host="${authority}";proto=${scheme}`
}

/** Identity lines last as long as the principal they were made from: per upstream, and per verdict on unverified e-mail. */
interface Written {
  readonly upstream: Upstream
  readonly allowUnverifiedEmail: boolean
  readonly identity: IdentityLines
  readonly next: Written | null
}

const written = new WeakMap<Principal, Written>()
/** More upstreams than a principal usually meets; the chain starts anew beyond it, also after many reloads. */
const CHAIN_MAX = 16

function identityOf(snapshot: Snapshot, upstream: Upstream, principal: Principal): IdentityLines | Refusal {
  const { allowUnverifiedEmail } = snapshot
  const first = written.get(principal) ?? null
  let length = 0
  for (let entry = first; entry !== null; entry = entry.next) {
    if (entry.upstream === upstream && entry.allowUnverifiedEmail === allowUnverifiedEmail) return entry.identity
    length += 1
  }
  const identity = identityLines(upstream.identity, principal, allowUnverifiedEmail)
  if (identity instanceof Refusal) return identity
  written.set(principal, { upstream, allowUnverifiedEmail, identity, next: length < CHAIN_MAX ? first : null })
  return identity
}
