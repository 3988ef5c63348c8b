/** One recorded request under one policy: let in, refused, or not to be told from what was recorded. */

import { readingsOf } from '../../http/target.ts'
import type { CredentialKind, Principal, RequestHead } from '../../model.ts'
import { Refusal } from '../../model.ts'
import { PROBLEMS, REASONS } from '../../problem/catalogue.ts'
import { matchRoute, OWN } from '../../route/match.ts'
import { parsePattern } from '../../route/pattern.ts'
import type { Access, Check, Requirement, Route } from '../../rules.ts'
import type { Snapshot } from '../../snapshot.ts'
import { describeAccess } from '../describe.ts'
import { askedOf } from './access.ts'
import type { DiffedPolicy } from './diff.ts'

/** What the log says of a request. */
export interface Recorded {
  readonly requestId: string
  readonly atMs: number
  readonly method: string
  /** Null when the request could not be read. */
  readonly path: string | null
  readonly status: number
  readonly subject: string | null
  readonly credential: CredentialKind | null
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly clientAddress: string | null
  readonly route: string | null
  readonly reason: string | null
  readonly policy: string | null
  readonly wasForwarded: boolean
  /** Null where that cannot be told. */
  readonly isUpgrade: boolean | null
}

export interface Verdict {
  readonly kind: 'allow' | 'refuse' | 'unknown'
  /** In plain words: what was asked, or what is missing. */
  readonly why: string
  readonly route: Route | null
  /** A route, or none, was found: `route` is what decides. */
  readonly isRouted: boolean
  /** No policy could change it: refused before any was asked, or one of the gateway's own paths. */
  readonly isPolicyFree: boolean
}

interface HostPair {
  readonly before: string
  readonly after: string
}

/** The hosts a request can have been for, since none is recorded: one of each kind that a pattern names. */
export function hostsOf(before: DiffedPolicy, after: DiffedPolicy): { of(record: Recorded): readonly HostPair[] } {
  const named = new Map<string, string>()
  for (const { config, snapshot } of [before, after]) {
    for (const text of Object.keys(config.routes)) {
      const parsed = parsePattern(text, snapshot.admission)
      if ('message' in parsed || parsed.host === null) continue
      named.set(text, parsed.host.startsWith('*.') ? `any-host${parsed.host.slice(1)}` : parsed.host)
    }
  }
  const own = { before: before.snapshot.admission.authority, after: after.snapshot.admission.authority }
  const every = [own, ...[...new Set(named.values())].map((host) => ({ before: host, after: host }))]
  return {
    of({ route }) {
      if (route === null || named.size === 0) return every
      const host = named.get(route)
      if (host === undefined) return route.startsWith('/') ? [own] : every
      return route.startsWith('*') ? every.filter((pair) => pair !== own) : [{ before: host, after: host }]
    },
  }
}

/** What a value could be, as bits: met, not met, or unknown to the gateway itself (which refuses). */
const [MET, UNMET, MISSING] = [1, 2, 4]
const ANY = MET | UNMET | MISSING

/** Reasons with which a credential was presented and found bad. */
const BAD_CREDENTIAL =
  /^(?:session\.malformed|token\.|key\.(?!limit)|principal\.|credential\.(?:scheme|subjects-differ))/

/** `was` is the verdict of the old policy, which says whether the caller was looked for at all. */
export function decideRecorded(
  snapshot: Snapshot,
  record: Recorded,
  host: string,
  isUpgrade: boolean,
  was: Verdict | null,
): Verdict {
  const { path, reason } = record
  if (path === null) return settled('refuse', 'it could not be read')
  const head = headOf(record, path, host, isUpgrade)
  const match = matchRoute(snapshot.routes, head)
  if (match === OWN) return settled('allow', 'one of the gateway’s own paths')
  if (reason !== null && isEarly(reason)) return settled('refuse', reason)
  if (match instanceof Refusal) {
    const { status } = PROBLEMS[REASONS[match.reason]]
    return {
      kind: 'refuse',
      why: `${status} ${match.reason}`,
      route: null,
      isRouted: match.reason.startsWith('route.'),
      isPolicyFree: false,
    }
  }
  const { route, access } = match
  const found = (kind: Verdict['kind'], why: string): Verdict => ({
    kind,
    why,
    route,
    isRouted: true,
    isPolicyFree: false,
  })
  if (record.method === 'OPTIONS' && route.cors !== null)
    return found('unknown', 'which method a preflight asked about')
  if (access === null) return found('refuse', 'a method that is not listed')
  const words = describeAccess(access)
  const asked =
    access.kind === 'public' ? MET : callerMask(snapshot, access, record, { head, params: match.params }, was)
  if (typeof asked === 'string') return found('unknown', asked)
  return found(asked === MET ? 'allow' : 'refuse', words)
}

function settled(kind: 'allow' | 'refuse', why: string): Verdict {
  return { kind, why, route: null, isRouted: false, isPolicyFree: true }
}

/** Refused whatever the policy says of the path. */
function isEarly(reason: string): boolean {
  return /^(?:head|expect|method\.refused|address\.limit|credential\.duplicate|csrf|target\.(?!ambiguous|encoded-separator))/.test(
    reason,
  )
}

/** Met or not, or what would have to be known. */
function callerMask(
  snapshot: Snapshot,
  access: Access,
  record: Recorded,
  facts: Facts,
  was: Verdict | null,
): number | string {
  if (record.subject === null) {
    const { reason } = record
    if (reason !== null && BAD_CREDENTIAL.test(reason)) return UNMET
    const isNobody = reason === 'credential.missing' || (record.wasForwarded && wasAuthenticated(was, record))
    if (!isNobody) return 'who the caller was: nobody was asked'
    if (access.kind === 'optional') return MET
    if (access.kind !== 'require' || access.needsPrincipal) return UNMET
  }
  if (access.kind !== 'require') return record.credential === 'key' ? UNMET : MET
  const missing = new Set<string>()
  const mask = allOf(access, record, facts, snapshot, missing)
  if (mask === MET || (mask & MET) === 0) return mask
  return [...missing].join(', ')
}

/** Let in without being anybody, by a line that looks who it is. The old policy says which; without it, the record's line does. */
function wasAuthenticated(was: Verdict | null, { method }: Recorded): boolean {
  const asked = askedOf(was?.route?.access ?? null, method)
  return asked !== null && asked.kind !== 'public'
}

interface Facts {
  readonly head: RequestHead
  readonly params: Readonly<Record<string, string>>
}

/** Kleene's `and` over sets of what each could be. */
function allOf(
  { checks }: Requirement,
  record: Recorded,
  facts: Facts,
  snapshot: Snapshot,
  missing: Set<string>,
): number {
  return checks.reduce((mask, check) => {
    if (record.subject === null && check.kind !== 'ip') return mask
    return combine(mask, maskOf(check, record, facts, snapshot, missing), and)
  }, MET)
}

function maskOf(check: Check, record: Recorded, facts: Facts, snapshot: Snapshot, missing: Set<string>): number {
  const unrecorded = (what: string): number => {
    missing.add(what)
    return ANY
  }
  switch (check.kind) {
    case 'ip':
      if (record.clientAddress === null) return unrecorded('the client’s address')
      return check.contains(record.clientAddress) ? MET : UNMET
    case 'with':
      if (record.credential === null) return unrecorded('the kind of credential')
      return check.anyOf.includes(record.credential) ? MET : UNMET
    case 'role':
      return listMask(check.anyOf, record.roles)
    case 'scope':
      return listMask(check.anyOf, record.scopes)
    case 'any':
      return check.of.reduce((mask, one) => combine(mask, allOf(one, record, facts, snapshot, missing), or), UNMET)
    case 'not':
      return negated(allOf(check.of, record, facts, snapshot, missing))
    case 'when': {
      const unknown = unrecordedIn(check.source)
      if (unknown !== null) return unrecorded(unknown)
      const found = check.condition(facts, principalOf(record))
      return found === null ? MISSING : found ? MET : UNMET
    }
    case 'mfa':
      return record.credential === 'key' ? UNMET : unrecorded('whether a second factor was shown')
    case 'fresh':
      return record.credential === 'key' ? MISSING : unrecorded('when the caller signed in')
    case 'group':
      return unrecorded('the caller’s groups')
    case 'email':
      return unrecorded('the caller’s e-mail address')
    case 'claim':
      return unrecorded(`the claim ${check.name}`)
  }
}

/** Who has none at all is not known to lack one. */
function listMask(wanted: readonly string[], had: readonly string[]): number {
  if (had.length === 0) return MISSING
  return wanted.some((one) => had.includes(one)) ? MET : UNMET
}

function negated(mask: number): number {
  return (mask & MET ? UNMET : 0) | (mask & UNMET ? MET : 0) | (mask & MISSING)
}

function combine(a: number, b: number, join: (a: number, b: number) => number): number {
  let mask = 0
  for (const one of [MET, UNMET, MISSING]) {
    for (const other of [MET, UNMET, MISSING]) if (a & one && b & other) mask |= join(one, other)
  }
  return mask
}

function and(a: number, b: number): number {
  return a === UNMET || b === UNMET ? UNMET : a === MISSING || b === MISSING ? MISSING : MET
}

function or(a: number, b: number): number {
  return a === MET || b === MET ? MET : a === MISSING || b === MISSING ? MISSING : UNMET
}

const RECORDED = new Set(['user.id', 'user.roles', 'user.scopes', 'request.method', 'request.path', 'request.ip'])

/** A fact that a condition reads and the log does not hold. Words within its texts count too: better unsure than wrong. */
function unrecordedIn(source: string): string | null {
  for (const [whole] of source.matchAll(/\b(?:user|request)\b(?:\s*\.\s*\w+)?/g)) {
    const fact = whole.replace(/\s+/g, '')
    if (!RECORDED.has(fact)) return `\`${fact}\``
  }
  return null
}

function headOf(record: Recorded, path: string, authority: string, isUpgrade: boolean): RequestHead {
  return {
    requestId: record.requestId,
    receivedAtMs: record.atMs,
    method: record.method,
    target: { scheme: 'http', authority, path, query: '', readings: readingsOf(path) },
    httpVersion: '1.1',
    headers: [],
    names: [],
    droppedHeaders: 0,
    clientAddress: record.clientAddress ?? '',
    peerAddress: record.clientAddress ?? '',
    isUpgrade,
    isNavigation: false,
    bodyBytes: 0,
    authorization: null,
    sessionCookie: null,
    apiKey: null,
    origin: null,
    fetchSite: null,
    preflightFor: null,
  }
}

function principalOf({ subject, credential, roles, scopes, atMs }: Recorded): Principal {
  return {
    kind: credential === 'key' ? 'service' : 'user',
    credential: credential ?? 'session',
    subject: subject ?? '',
    issuer: '',
    source: null,
    email: null,
    emailVerified: false,
    name: null,
    roles,
    scopes,
    groups: [],
    claims: {},
    sessionId: null,
    tokenId: null,
    keyId: null,
    authenticatedAtMs: null,
    methods: [],
    hasSecondFactor: false,
    expiresAtMs: atMs,
  }
}
