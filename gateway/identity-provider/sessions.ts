/**
 * Who a session speaks for, by its cookie, its signed token as a bearer, or the `sid` of a token of ours. In memory an answer
 * is a value, not a promise; a miss is one shared look-up with a deadline (credentials/engine.ts); what ended is never answered.
 */

import type { CacheScope, Verified } from '../credentials/cache.ts'
import type { CredentialEngine, Entry, Search } from '../credentials/engine.ts'
import { hasSecondFactor } from '../jwt/second-factor.ts'
import { type Authentication, type Principal, Refusal, type Soon } from '../model.ts'
import type { Primitives, SessionSource } from '../ports.ts'
import { nameOf } from '../revocation/names.ts'
import type { CookieCodec } from './cookie.ts'
import { IMPERSONATED_MS_MAX, type SessionKey, type SessionRow, type SessionRows } from './session-rows.ts'
import { isBanned } from './user-directory.ts'

export interface Sessions extends SessionSource {
  /** The session a token names by `sid`, or `token.session-ended`. */
  verifyId(id: string, nowMs: number): Soon<Entry | Refusal>
  /**
   * A signed session token presented as a bearer token: `token.malformed` for what we did not sign, `token.session-ended` for
   * what has ended, and never a cookie.
   */
  verifyBearer(value: string, nowMs: number): Soon<Authentication | Refusal>
  /** As `verifyCookie`, with the session's own token for the identity provider. */
  resolveCookie(cookie: string, nowMs: number): Promise<Resolved | Refusal>
}

export interface Resolved {
  /** Both null when the session has ended. */
  readonly session: { readonly principal: Principal | null; readonly sessionToken: string | null }
  readonly setCookies: readonly string[]
}

export interface SessionSettings {
  readonly issuer: string
  readonly idleMs: number
  readonly maxMs: number
}

/** What was read is believed this long, counted from before the read. Revocation does not wait for it: the log is asked each time. */
const ENTRY_LIFE_MS = 60_000
/** A session that should have been extended and could not be is tried again soon. */
const UNEXTENDED_LIFE_MS = 5000
const LOOKUP_DEADLINE_MS = 250

const NONE: readonly string[] = Object.freeze([])
const ENDED = Object.freeze(new Refusal('token.session-ended'))
const MALFORMED_TOKEN = Object.freeze(new Refusal('token.malformed'))
const UNAVAILABLE = Object.freeze(new Refusal('session.unavailable'))

export function createSessions(deps: {
  readonly rows: SessionRows
  readonly cookies: CookieCodec
  readonly credentials: CredentialEngine
  readonly primitives: Primitives
  readonly settings: SessionSettings
  readonly log: (error: unknown) => void
}): Sessions {
  const { rows, cookies, credentials, primitives, settings, log } = deps
  /** A session is extended at most this often, so that idling is measured to a twentieth. */
  const extendEveryMs = settings.idleMs / 20
  const verifier = primitives.sha256(JSON.stringify([settings.issuer, settings.idleMs, settings.maxMs]))
  const byCookie: CacheScope = { kind: 'session', verifier, ended: ENDED }
  const byToken: CacheScope = { kind: 'session-token', verifier, ended: ENDED }
  const byId: CacheScope = { kind: 'session-id', verifier, ended: ENDED }
  const malformed = Object.freeze(new Refusal('session.malformed', { setCookies: [cookies.remove] }))
  const ended = Object.freeze<Authentication>({
    principal: null,
    proofs: Object.freeze([]),
    rate: null,
    setCookies: Object.freeze([cookies.remove]),
  })

  return {
    verifyCookie(cookie, nowMs) {
      const found = findSigned(cookie, nowMs)
      if (found instanceof Promise) return found.then((later) => cookieAnswer(later, true))
      return cookieAnswer(found, false)
    },
    async resolveCookie(cookie, nowMs) {
      const found = findSigned(cookie, nowMs)
      const answer = cookieAnswer(await found, found instanceof Promise)
      if (answer instanceof Refusal) return answer
      const { principal, setCookies } = answer
      const sessionToken = principal === null ? null : cookies.open(cookie)!.token
      return { session: { principal, sessionToken }, setCookies }
    },
    verifyBearer(value, nowMs) {
      const found = findSigned(value, nowMs)
      return found instanceof Promise ? found.then(bearerAnswer) : bearerAnswer(found)
    },
    verifyId(id, nowMs) {
      const framed = credentials.frame(byId, id)
      const key = credentials.keyOf(framed)
      const remembered = credentials.remembered(key, nowMs)
      if (remembered !== undefined) return remembered
      return credentials.find(
        key,
        searchFor(byId, framed, () => read({ id }, nowMs, true)),
        nowMs,
      )
    },
  }

  /** By the text as presented, so that what is in memory costs no second check of its signature. Null for what we did not sign. */
  function findSigned(value: string, nowMs: number): Soon<Entry | Refusal | null> {
    const key = credentials.keyOf(credentials.frame(byCookie, value))
    const remembered = credentials.remembered(key, nowMs)
    if (remembered !== undefined) return remembered
    const opened = cookies.open(value)
    if (opened === null) return null
    const { token, isNewest } = opened
    // Whoever still holds a cookie of an older secret needs a new one, which takes the row.
    const sharedAs = isNewest ? credentials.frame(byToken, token) : null
    return credentials.find(
      key,
      searchFor(byCookie, sharedAs, () => read({ token }, nowMs, isNewest)),
      nowMs,
    )
  }

  function searchFor(scope: CacheScope, sharedAs: string | null, verify: Search['verify']): Search {
    return { scope, sharedAs, waitMsMax: LOOKUP_DEADLINE_MS, unavailable: UNAVAILABLE, verify }
  }

  function cookieAnswer(found: Entry | Refusal | null, isNews: boolean): Authentication | Refusal {
    if (found === null) return malformed
    if (found instanceof Refusal) return found.reason === ENDED.reason ? ended : found
    return isNews ? found.news : found.authentication
  }

  function bearerAnswer(found: Entry | Refusal | null): Authentication | Refusal {
    if (found === null) return MALFORMED_TOKEN
    return found instanceof Refusal ? found : found.authentication
  }

  async function read(key: SessionKey, nowMs: number, isNewest: boolean): ReturnType<Search['verify']> {
    const row = await rows.find(key)
    if (row === null || !isCurrent(row, nowMs)) return ENDED
    const extended = 'id' in key ? row : await extendIfDue(row, nowMs)
    if (extended === null) return ENDED
    const isNews = !isNewest || extended !== row
    return { ...verifiedBy(key, extended, nowMs), setCookies: isNews ? [setCookieFor(extended, nowMs)] : NONE }
  }

  function verifiedBy(key: SessionKey, row: SessionRow, nowMs: number): Verified {
    const endsAtMs = endOf(row)
    const principal = principalOf(row, settings.issuer, endsAtMs)
    const dueAtMs = 'id' in key ? Number.POSITIVE_INFINITY : extensionDueAtMs(row)
    const staleAtMs = Math.min(nowMs + ENTRY_LIFE_MS, dueAtMs > nowMs ? dueAtMs : nowMs + UNEXTENDED_LIFE_MS, endsAtMs)
    const names = [
      nameOf.subject(principal.subject),
      nameOf.session(row.id),
      nameOf.sessionToken(primitives.sha256(row.token)),
    ]
    if (row.impersonatorId !== null) names.push(nameOf.subject(row.impersonatorId))
    return { principal, names: Object.freeze(names), issuedAtMs: row.createdAtMs, rate: null, staleAtMs }
  }

  function isCurrent(row: SessionRow, nowMs: number): boolean {
    return endOf(row) > nowMs && !isBanned(row.user, nowMs)
  }

  /** However much it is used. */
  function lastEndOf({ createdAtMs, impersonatorId }: SessionRow): number {
    return createdAtMs + (impersonatorId === null ? settings.maxMs : Math.min(settings.maxMs, IMPERSONATED_MS_MAX))
  }

  /** Neither idle too long nor older than any session may be. */
  function endOf(row: SessionRow): number {
    return Math.min(row.expiresAtMs, lastEndOf(row))
  }

  /** When enough of the idle time has been used to write a later end; never, once that end is the last. */
  function extensionDueAtMs(row: SessionRow): number {
    const dueAtMs = row.expiresAtMs + extendEveryMs - settings.idleMs
    return dueAtMs + settings.idleMs <= lastEndOf(row) ? dueAtMs : Number.POSITIVE_INFINITY
  }

  /** Slides the idle end. A database that can be read but not written still knows who is there. */
  async function extendIfDue(row: SessionRow, nowMs: number): Promise<SessionRow | null> {
    if (extensionDueAtMs(row) > nowMs) return row
    const expiresAtMs = Math.min(nowMs + settings.idleMs, lastEndOf(row))
    try {
      return (await rows.extend(row.token, expiresAtMs, nowMs)) ? { ...row, expiresAtMs } : null
    } catch (error) {
      log(error)
      return row
    }
  }

  function setCookieFor(row: SessionRow, nowMs: number): string {
    return cookies.set(row.token, row.isRemembered ? endOf(row) - nowMs : null)
  }
}

function principalOf(row: SessionRow, issuer: string, expiresAtMs: number): Principal {
  const { user } = row
  const isTheirs = row.impersonatorId === null // whatever else the row says (SECURITY rule 15)
  return Object.freeze<Principal>({
    kind: 'user',
    credential: 'session',
    subject: user.id,
    issuer,
    source: null,
    email: user.email,
    emailVerified: user.emailVerified,
    name: user.name,
    roles: Object.freeze(user.roles),
    scopes: NONE,
    groups: NONE,
    claims: {},
    sessionId: row.id,
    tokenId: null,
    keyId: null,
    authenticatedAtMs: isTheirs ? row.authenticatedAtMs : null,
    methods: Object.freeze(row.methods),
    hasSecondFactor: isTheirs && hasSecondFactor(row.methods),
    expiresAtMs,
  })
}
