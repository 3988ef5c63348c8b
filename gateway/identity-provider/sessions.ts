/**
 * Who a session cookie speaks for. In memory an answer is a value, not a promise; a miss is one shared look-up with a
 * deadline; and what has been revoked is never answered from memory, nor from a look-up that began before.
 */

import { type Authentication, type Principal, Refusal, type Soon } from '../model.ts'
import type { SessionSource } from '../ports.ts'
import { boundedMap } from './bounded-map.ts'
import type { CookieCodec } from './cookie.ts'
import type { Revocable, Revocations } from './revocations.ts'
import type { SessionKey, SessionRow, SessionRows } from './session-rows.ts'

/** A session as last read, or the absence of one. */
export interface LiveSession extends Revocable {
  readonly principal: Principal | null
  readonly readAtMs: number
  readonly staleAtMs: number
  /** Answer to a cookie, made once. */
  readonly authentication: Authentication
}

export interface Sessions extends SessionSource {
  /** The session a token names by `sid`; its principal is null when it has ended. */
  verifyId(id: string, nowMs: number): Soon<LiveSession | Refusal>
  /** As `verifyCookie`, with the session's own token for the identity provider. */
  resolveCookie(cookie: string, nowMs: number): Soon<Resolved | Refusal>
}

export interface Resolved {
  readonly session: LiveSession
  readonly setCookies: readonly string[]
}

export interface SessionSettings {
  readonly issuer: string
  readonly idleMs: number
  readonly maxMs: number
}

/** What was read is believed this long, counted from before the read; in the meantime revocations of this node apply at once. */
const ENTRY_LIFE_MS = 5000
const ENTRIES_MAX = 50_000
const LOOKUP_DEADLINE_MS = 250
/** Look-ups under way at once. A database that hangs must not collect waiting requests without end. */
const LOOKUPS_MAX = 512
const ATTEMPTS_MAX = 3

const UNAVAILABLE = Object.freeze(new Refusal('session.unavailable'))

interface Flight {
  readonly sequence: number
  readonly found: Promise<Resolved>
}

export function createSessions(deps: {
  readonly rows: SessionRows
  readonly cookies: CookieCodec
  readonly revocations: Revocations
  readonly settings: SessionSettings
  readonly log: (error: unknown) => void
}): Sessions {
  const { rows, cookies, revocations, settings, log } = deps
  const byCookie = boundedMap<LiveSession>(ENTRIES_MAX)
  const byId = boundedMap<LiveSession>(ENTRIES_MAX)
  const flights = new Map<string, Flight>()
  let lookups = 0
  /** A session is extended at most this often, so that idling is measured to a twentieth. */
  const extendEveryMs = settings.idleMs / 20
  const malformed = Object.freeze(new Refusal('session.malformed', { setCookies: [cookies.remove] }))
  const ended: Authentication = Object.freeze({
    principal: null,
    proofs: NONE as readonly never[],
    rate: null,
    setCookies: Object.freeze([cookies.remove]),
  })

  return { verifyCookie, resolveCookie, verifyId }

  function verifyCookie(cookie: string, nowMs: number): Soon<Authentication | Refusal> {
    const known = byCookie.get(cookie)
    if (known !== undefined && isUsable(known, nowMs)) return known.authentication
    const found = resolveUnknown(cookie, nowMs)
    if (found instanceof Refusal) return found
    return found.then((resolved) => (resolved instanceof Refusal ? resolved : authenticationOf(resolved)))
  }

  function resolveCookie(cookie: string, nowMs: number): Soon<Resolved | Refusal> {
    const known = byCookie.get(cookie)
    if (known !== undefined && isUsable(known, nowMs)) {
      return { session: known, setCookies: known.authentication.setCookies }
    }
    return resolveUnknown(cookie, nowMs)
  }

  function verifyId(id: string, nowMs: number): Soon<LiveSession | Refusal> {
    const known = byId.get(id)
    if (known !== undefined && isUsable(known, nowMs)) return known
    return lookUp(`id:${id}`, nowMs, () => read({ id }, nowMs, true)).then((found) =>
      found instanceof Refusal ? found : found.session,
    )
  }

  function resolveUnknown(cookie: string, nowMs: number): Refusal | Promise<Resolved | Refusal> {
    const opened = cookies.open(cookie)
    if (opened === null) return malformed
    const { token, isNewest } = opened
    return lookUp(`cookie:${cookie}`, nowMs, async () => {
      const resolved = await read({ token }, nowMs, isNewest)
      byCookie.set(cookie, resolved.session)
      return resolved
    })
  }

  /**
   * One look-up for all who ask at once. One that began before a revocation serves nobody who came after it, so it is
   * joined only while nothing at all has been revoked since.
   */
  function lookUp(name: string, nowMs: number, begin: () => Promise<Resolved>): Promise<Resolved | Refusal> {
    const running = flights.get(name)
    if (running !== undefined && running.sequence === revocations.sequence) return withDeadline(running.found, nowMs)
    if (lookups >= LOOKUPS_MAX) return Promise.resolve(UNAVAILABLE)
    lookups += 1
    const flight: Flight = { sequence: revocations.sequence, found: begin() }
    flights.set(name, flight)
    const landed = (): void => {
      lookups -= 1
      if (flights.get(name) === flight) flights.delete(name)
    }
    flight.found.then(landed, (error: unknown) => {
      landed()
      log(error)
    })
    return withDeadline(flight.found, nowMs)
  }

  async function withDeadline(found: Promise<Resolved>, nowMs: number): Promise<Resolved | Refusal> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const deadline = new Promise<Refusal>((resolve) => {
      timer = setTimeout(() => resolve(UNAVAILABLE), LOOKUP_DEADLINE_MS)
    })
    try {
      const resolved = await Promise.race([found, deadline])
      if (resolved instanceof Refusal) return resolved
      // It may have ended between the look-up and now; whoever asks again gets the truth.
      return isUsable(resolved.session, nowMs) ? resolved : UNAVAILABLE
    } catch {
      return UNAVAILABLE // said once, where the look-up landed
    } finally {
      clearTimeout(timer)
    }
  }

  /** Reads until nothing that concerns the session has been revoked during the read. */
  async function read(key: SessionKey, nowMs: number, isNewest: boolean): Promise<Resolved> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const { sequence } = revocations
      const row = await rows.find(key)
      const usable = row !== null && isCurrent(row, nowMs) ? row : null
      const extended = usable === null || 'id' in key ? usable : await extendIfDue(usable, nowMs)
      const session = liveSession(key, extended, sequence, nowMs)
      if (revocations.isDead(session)) continue
      if (extended !== null) byId.set(extended.id, session)
      else if ('id' in key) byId.set(key.id, session)
      const isNews = extended !== null && (!isNewest || extended !== usable)
      return { session, setCookies: isNews ? [setCookieFor(extended, nowMs)] : session.authentication.setCookies }
    }
    throw new Error('the session changed during each of several look-ups')
  }

  function isCurrent(row: SessionRow, nowMs: number): boolean {
    const { bannedUntilMs } = row.user
    return endOf(row) > nowMs && (bannedUntilMs === null || bannedUntilMs <= nowMs)
  }

  /** Neither idle too long nor older than any session may be. */
  function endOf(row: SessionRow): number {
    return Math.min(row.expiresAtMs, row.createdAtMs + settings.maxMs)
  }

  /** Slides the idle end. A database that can be read but not written still knows who is there. */
  async function extendIfDue(row: SessionRow, nowMs: number): Promise<SessionRow | null> {
    const expiresAtMs = Math.min(nowMs + settings.idleMs, row.createdAtMs + settings.maxMs)
    if (expiresAtMs - row.expiresAtMs < extendEveryMs) return row
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

  function liveSession(key: SessionKey, row: SessionRow | null, sequence: number, nowMs: number): LiveSession {
    const staleAtMs = nowMs + ENTRY_LIFE_MS
    if (row === null) {
      const sessionToken = 'token' in key ? key.token : null
      const sessionId = 'id' in key ? key.id : null
      const facts = { sequence, subject: null, sessionId, sessionToken, readAtMs: nowMs, staleAtMs }
      return Object.freeze({ ...facts, principal: null, authentication: ended })
    }
    const principal = principalOf(row, settings.issuer, endOf(row))
    return Object.freeze<LiveSession>({
      sequence,
      subject: principal.subject,
      sessionId: row.id,
      sessionToken: row.token,
      readAtMs: nowMs,
      staleAtMs: Math.min(staleAtMs, principal.expiresAtMs),
      principal,
      authentication: Object.freeze({ principal, proofs: [], rate: null, setCookies: NONE }),
    })
  }

  /** A clock that was set back makes an entry look unread yet; it is then read again. */
  function isUsable(session: LiveSession, nowMs: number): boolean {
    return nowMs < session.staleAtMs && nowMs >= session.readAtMs - CLOCK_STEP_MS && !revocations.isDead(session)
  }
}

const NONE: readonly string[] = Object.freeze([])
/** Requests are stamped before they are handled, so a later one may carry a slightly earlier time. */
const CLOCK_STEP_MS = 1000

function authenticationOf({ session, setCookies }: Resolved): Authentication {
  return setCookies === session.authentication.setCookies
    ? session.authentication
    : { ...session.authentication, setCookies }
}

function principalOf(row: SessionRow, issuer: string, expiresAtMs: number): Principal {
  const { user } = row
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
    sessionId: row.id,
    tokenId: null,
    keyId: null,
    authenticatedAtMs: row.authenticatedAtMs,
    methods: Object.freeze(row.methods),
    expiresAtMs,
  })
}
