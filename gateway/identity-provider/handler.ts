/**
 * Serves `/api/auth/*`. The identity provider sees a request only after its door is open: a listed path, no other site's
 * doing, one credential that this gateway verified itself, and of the cookies only its own.
 */

import { cookieValues } from '../http/cookies.ts'
import { parseObject } from '../http/json.ts'
import { siteOf } from '../http/site.ts'
import { type Principal, Refusal } from '../model.ts'
import { problemAnswer } from '../problem/response.ts'
import { BASE_PATH } from './auth.ts'
import type { CookieCodec } from './cookie.ts'
import type { Endings } from './endings.ts'
import { type Door, doorFor, FRESH_MS } from './paths.ts'
import { withFacts } from './request-facts.ts'
import type { Resolved, Sessions } from './sessions.ts'

export interface HandlerDeps {
  readonly origin: string
  readonly cookieName: string
  readonly isSignupOpen: boolean
  readonly cookies: CookieCodec
  readonly sessions: Sessions
  /** The identity provider itself. */
  readonly serve: (request: Request) => Promise<Response>
  readonly endings: Endings
  readonly publicKeys: () => Promise<object>
  /** Does the database answer? */
  readonly isReady: () => Promise<boolean>
  readonly maxStalenessMs: number
  readonly nowMs: () => number
  readonly log: (error: unknown) => void
}

/** Hashing a password takes a tenth of a second; a database that hangs is given up by its own time-outs before this. */
const DEADLINE_MS = 10_000
const BODY_CHARS_MAX = 65_536
/** What is kept for long and shown to upstreams stays short. RFC 5321 §4.5.3.1.3 for the address. */
const CHARS_MAX = { name: 200, email: 254, image: 2048 } as const

const HASHING: ReadonlySet<string> = new Set(['/sign-in/email', '/sign-up/email', '/change-password'])
const HASHING_MAX = 16

const NOBODY = Object.freeze({ token: null, besideToken: null, principal: null, setCookies: [] as readonly string[] })

interface Caller {
  readonly token: string | null
  /** The session of a cookie that came beside a bearer token: the browser's own, which an answer of ours replaces or takes away. */
  readonly besideToken: string | null
  readonly principal: Principal | null
  readonly setCookies: readonly string[]
}

export function createHandler(deps: HandlerDeps): (request: Request) => Promise<Response> {
  const { origin, cookieName, cookies, sessions, nowMs, log } = deps
  const rememberName = cookieName.replace('session_token', 'dont_remember')
  let hashing = 0

  return async (request) => {
    const requestId = request.headers.get('x-request-id') ?? ''
    try {
      const { result, facts } = await withFacts(() => answerTo(request))
      const answer = result instanceof Refusal ? problem(result, requestId) : result
      // Some nodes hear of it when they read the log next (SECURITY rule 23).
      if (facts.isUncarried)
        answer.headers.set('postern-revocation', `within=${Math.ceil(deps.maxStalenessMs / 1000)}s`)
      return answer
    } catch (error) {
      log(error)
      return problem(new Refusal('session.unavailable'), requestId)
    }
  }

  async function answerTo(request: Request): Promise<Response | Refusal> {
    const path = pathOf(request)
    const door = path === null ? null : doorFor(request.method, path)
    if (path === null || door === null) return new Refusal('route.unlisted')
    const presented = presentedIn(request.headers)
    const crossSite = refuseCrossSite(request, presented.cookie !== null)
    if (crossSite !== null) return crossSite
    if (path === '/jwks') return Response.json(await deps.publicKeys())
    if (path === '/sign-up/email' && !deps.isSignupOpen) {
      return failure(403, 'SIGN_UP_CLOSED', 'Accounts are made by an administrator here.')
    }
    const caller = await callerOf(presented)
    if (caller instanceof Refusal) return caller
    const closed = refuseAtDoor(door, caller)
    if (closed !== null) return closed

    const body = request.method === 'GET' ? null : await bodyFor(path, request)
    if (body instanceof Response) return body
    const ended = await endSessions(path, caller, body)
    const response = ended ?? (await (HASHING.has(path) ? serveHashing : serve)(rebuilt(request, caller, body)))
    return finish(path, caller, response)
  }

  function serve(request: Request): Promise<Response> {
    return withDeadline(deps.serve(request))
  }

  /**
   * Hashing a password keeps one of the few threads busy that name look-ups and files need too, so only so many are hashed
   * at once, wherever the requests come from.
   */
  async function serveHashing(request: Request): Promise<Response> {
    if (hashing >= HASHING_MAX) {
      return failure(503, 'BUSY', 'Too many people are signing in. Try again in a moment.', { 'retry-after': '1' })
    }
    hashing += 1
    try {
      return await serve(request)
    } finally {
      hashing -= 1
    }
  }

  function pathOf(request: Request): string | null {
    const { pathname } = new URL(request.url)
    return pathname.startsWith(`${BASE_PATH}/`) ? pathname.slice(BASE_PATH.length) : null
  }

  /** The credentials a request presents: our session cookie, or a signed session token as a bearer token. */
  function presentedIn(headers: Headers): { readonly cookie: string | null; readonly bearer: string | null } {
    const authorization = headers.get('authorization')
    return { cookie: cookieIn(headers, cookieName), bearer: authorization }
  }

  async function callerOf(presented: ReturnType<typeof presentedIn>): Promise<Caller | Refusal> {
    if (presented.bearer === null) return presented.cookie === null ? NOBODY : callerFor(presented.cookie, false)
    if (presented.bearer.slice(0, 7).toLowerCase() !== 'bearer ') return new Refusal('credential.scheme')
    const bearer = await callerFor(presented.bearer.slice(7).trim(), true)
    if (bearer instanceof Refusal || presented.cookie === null) return bearer
    const cookie = await callerFor(presented.cookie, false)
    if (cookie instanceof Refusal) return cookie
    return cookie.principal === null || cookie.principal.subject === bearer.principal?.subject
      ? { ...bearer, besideToken: cookie.token }
      : new Refusal('credential.subjects-differ')
  }

  /** A bad cookie is taken away and its sender is nobody; a bad bearer token was meant, so it is refused. */
  async function callerFor(value: string, isBearer: boolean): Promise<Caller | Refusal> {
    const found: Resolved | Refusal = await sessions.resolveCookie(value, nowMs())
    if (found instanceof Refusal && found.reason !== 'session.malformed') return found
    if (found instanceof Refusal) {
      return isBearer ? new Refusal('token.malformed') : { ...NOBODY, setCookies: found.setCookies }
    }
    const { principal, sessionToken } = found.session
    if (principal === null && isBearer) return new Refusal('token.session-ended')
    const token = principal === null ? null : sessionToken
    return { token, besideToken: null, principal, setCookies: isBearer ? [] : found.setCookies }
  }

  function refuseAtDoor(door: Door, caller: Caller): Refusal | Response | null {
    if (door === 'public') return null
    if (caller.principal === null) return new Refusal('credential.missing', { setCookies: caller.setCookies })
    if (door === 'session') return null
    const { authenticatedAtMs } = caller.principal
    // A sign-in of the future is one from before the clock was set back.
    const isFresh = authenticatedAtMs !== null && Math.abs(nowMs() - authenticatedAtMs) <= FRESH_MS
    return isFresh ? null : failure(403, 'SESSION_NOT_FRESH', 'Sign in again to change your account.')
  }

  /** Any site can make a browser send a form here, so signing in is guarded as well: login CSRF signs a victim in as somebody else. */
  function refuseCrossSite(request: Request, hasCookie: boolean): Refusal | null {
    if (request.method === 'GET') return null
    const site = siteOf(origin, request.headers.get('sec-fetch-site'), request.headers.get('origin'))
    if (site === 'ours') return null
    if (site === 'foreign') return new Refusal('csrf.cross-site')
    return hasCookie ? new Refusal('csrf.no-evidence') : null
  }

  /** JSON only: it is what the clients send, and what no form of another site can. */
  async function bodyFor(path: string, request: Request): Promise<string | Response> {
    const text = await request.text()
    if (text.length > BODY_CHARS_MAX) return failure(413, 'BODY_TOO_LARGE', 'The body is too large.')
    const [type = ''] = (request.headers.get('content-type') ?? '').split(';')
    if (text !== '' && type.trim().toLowerCase() !== 'application/json') {
      return failure(415, 'UNSUPPORTED_MEDIA_TYPE', 'The body must be application/json.')
    }
    const fields = parseObject(text === '' ? '{}' : text)
    if (fields === null) return failure(400, 'BODY_MALFORMED', 'The body must be a JSON object.')
    const bad = malformedIn(fields)
    if (bad !== null) return failure(400, 'FIELD_MALFORMED', `${bad} is not a text this address takes.`)
    const tooLong = Object.entries(CHARS_MAX).find(([name, max]) => lengthOf(fields[name]) > max)
    if (tooLong !== undefined)
      return failure(400, 'FIELD_TOO_LONG', `${tooLong[0]} has at most ${tooLong[1]} characters.`)
    // Whoever knew the old password must not stay signed in by it.
    return JSON.stringify(path === '/change-password' ? { ...fields, revokeOtherSessions: true } : fields)
  }

  /** Null when the path ends no session, or when the identity provider still has something to say. */
  async function endSessions(path: string, caller: Caller, body: string | null): Promise<Response | null> {
    const { token, principal } = caller
    if (token === null || principal === null) return null
    if (path === '/sign-out') await endOwn(caller)
    else if (path === '/revoke-session') {
      const other = parseObject(body ?? '')?.token
      if (typeof other !== 'string') return failure(400, 'BODY_MALFORMED', 'The body must name a token.')
      await deps.endings.endTokenOf(principal.subject, other)
    } else if (path === '/revoke-sessions') await deps.endings.endAllOf(principal.subject)
    else if (path === '/revoke-other-sessions') await deps.endings.endAllButOne(principal.subject, token)
    else return null
    return path === '/sign-out' ? null : Response.json({ status: true })
  }

  /** Only what the identity provider needs, with the session's cookie written anew by us. */
  function rebuilt(request: Request, caller: Caller, body: string | null): Request {
    const headers = new Headers()
    for (const name of PASSED_ON) {
      const value = request.headers.get(name)
      if (value !== null) headers.set(name, value)
    }
    const ours: string[] = []
    if (caller.token !== null) ours.push(`${cookieName}=${cookies.sign(caller.token)}`)
    const remember = cookieIn(request.headers, rememberName)
    if (remember !== null) ours.push(`${rememberName}=${remember}`)
    if (ours.length > 0) headers.set('cookie', ours.join('; '))
    if (request.method === 'GET') return new Request(request.url, { headers })
    headers.set('content-type', 'application/json')
    // Where the request came from has been checked above; the identity provider checks the same evidence again.
    headers.set('origin', origin)
    return new Request(request.url, { method: request.method, headers, body })
  }

  async function finish(path: string, caller: Caller, response: Response): Promise<Response | Refusal> {
    if (response.status >= 500 && response.status !== 503) {
      log(new Error(`identity provider answered ${response.status} at ${path}`))
      return new Refusal('session.unavailable')
    }
    // It takes a database that does not answer for a session that is not there.
    if (response.status === 401 && caller.principal !== null && !(await deps.isReady())) {
      return new Refusal('session.unavailable')
    }
    const fresh = response.headers.getSetCookie()
    const isReplaced = fresh.some((cookie) => cookie.startsWith(`${cookieName}=`))
    const isSignIn = path === '/sign-in/email' || path === '/sign-up/email'
    // One browser, one session: the one that signing in replaces must not live on (CWE-384).
    if (isSignIn && response.ok && isReplaced) await endOwn(caller)
    const headers = new Headers(response.headers)
    headers.set('cache-control', 'no-store')
    const retryAfter = headers.get('x-retry-after')
    if (retryAfter !== null) headers.set('retry-after', retryAfter)
    if (!isReplaced) for (const cookie of caller.setCookies) headers.append('set-cookie', cookie)
    return new Response(response.body, { status: response.status, headers })
  }

  async function endOwn({ token, besideToken }: Caller): Promise<void> {
    for (const own of new Set([token, besideToken])) if (own !== null) await deps.endings.endToken(own)
  }

  function problem(refusal: Refusal, requestId: string): Response {
    const { status, headers, body } = problemAnswer(refusal, requestId, origin, [])
    const list = new Headers()
    for (let at = 0; at < headers.length; at += 2) list.append(headers[at]!, headers[at + 1]!)
    return new Response(body, { status, headers: list })
  }
}

const PASSED_ON = ['accept', 'accept-language', 'user-agent', 'x-postern-client-ip', 'x-request-id'] as const

/** In the identity provider's own shape, for its clients. */
function failure(status: number, code: string, message: string, more: Record<string, string> = {}): Response {
  return Response.json({ code, message }, { status, headers: { 'cache-control': 'no-store', ...more } })
}

/**
 * The field that is no text where one is kept, or that breaks what it is written to: drivers turn an object into a text of
 * any length, Postgres keeps no NUL, and a header takes ASCII only. Null when all are well.
 */
function malformedIn({ name, image, ...rest }: Readonly<Record<string, unknown>>): string | null {
  if (name !== undefined && typeof name !== 'string') return 'name'
  if (image !== undefined && image !== null && typeof image !== 'string') return 'image'
  if (typeof rest.callbackURL === 'string' && !/^[!-~]*$/.test(rest.callbackURL)) return 'callbackURL'
  const withNul = Object.entries({ name, image, ...rest }).find(
    ([, value]) => typeof value === 'string' && value.includes('\0'),
  )
  return withNul?.[0] ?? null
}

function lengthOf(value: unknown): number {
  return typeof value === 'string' ? value.length : 0
}

/** The one cookie of this name; null when there is none. Two of one name were refused at admission, and count as none here. */
function cookieIn(headers: Headers, name: string): string | null {
  const found = cookieValues(headers.get('cookie') ?? '', name)
  return found.length === 1 ? found[0]! : null
}

async function withDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the identity provider did not answer in time')), DEADLINE_MS)
  })
  try {
    return await Promise.race([work, deadline])
  } finally {
    clearTimeout(timer)
  }
}
