/**
 * The verbs, in order. `decide` is the whole story of a request: read it from top to bottom.
 * A step yields a value or a Refusal; only ALLOW lets a request in; an exception is a bug and never a pass.
 */

import { admit, readmit } from './admit/admit.ts'
import { authenticate, NOBODY } from './authenticate/authenticate.ts'
import { refuseCrossSite, refuseServiceWorker } from './authenticate/browser.ts'
import { authorize } from './authorize/authorize.ts'
import { explainAccess } from './authorize/explain.ts'
import { planForward } from './forward/plan.ts'
import { limitAddress } from './limit/address.ts'
import { type Charged, chargeAddress, chargePrincipal } from './limit/route.ts'
import {
  type AccessRecord,
  ALLOW,
  type AnswerHead,
  type Finding,
  type ForwardPlan,
  type HeaderList,
  type Outcome,
  type OwnAnswer,
  type Principal,
  type Proof,
  type RawHead,
  type RecordedDecision,
  Refusal,
  type Refused,
  type RequestHead,
  type RouteMatch,
} from './model.ts'
import type { Ports } from './ports.ts'
import { REASONS } from './problem/catalogue.ts'
import { problemAnswer } from './problem/response.ts'
import { accessRecord, type Ending } from './record/access.ts'
import { discreet } from './record/findings.ts'
import { accessOf, matchRoute, OWN } from './route/match.ts'
import type { Access, AccessByMethod, Route } from './rules.ts'
import type { Snapshot } from './snapshot.ts'
import { answerPreflight, corsLines, variesByOrigin } from './transform/cors.ts'
import { upstreamHeaders } from './transform/request-headers.ts'
import { clientHeaders } from './transform/response-headers.ts'

/** Decides one request head. Resolves with what to do; rejects only when there is a bug. */
export async function decide(snapshot: Snapshot, ports: Ports, raw: RawHead): Promise<Outcome> {
  const head = admit(snapshot.admission, raw)
  if (head instanceof Refusal) return refused(raw.requestId, head)

  const excess = limitAddress(snapshot.addressLimit, ports.counters, head)
  if (excess !== null) return refused(head.requestId, excess, head)

  const match = matchRoute(snapshot.routes, head)
  if (match === OWN) return { kind: 'own', head }
  if (match instanceof Refusal) return refused(head.requestId, match, head)
  const { route } = match
  if (head.preflightFor !== null && route.cors !== null) return answerPreflight(snapshot, match, head)

  const crossSite = refuseCrossSite(snapshot.origin, head) ?? refuseServiceWorker(route, head)
  if (crossSite !== null) return refused(head.requestId, crossSite, head, match)

  const counted = chargeAddress(snapshot, ports.counters, route, head)
  const ofAddress = counted instanceof Promise ? await counted : counted
  if (ofAddress instanceof Refusal) return refused(head.requestId, ofAddress, head, match)
  let charged = ofAddress
  let plan: ForwardPlan | Refusal | null = null
  try {
    const { access, params } = match
    if (access === null) return refused(head.requestId, await refuseMethod(snapshot, ports, match, head), head, match)

    const found = access.kind === 'public' ? NOBODY : authenticate(ports, head)
    const authentication = found instanceof Promise ? await found : found
    if (authentication instanceof Refusal) return refused(head.requestId, authentication, head, match)
    const { principal, setCookies } = authentication
    const isAuthenticated = access.kind !== 'public'

    const decision = authorize(access, principal, { head, params }, snapshot.allowUnverifiedEmail)
    if (decision !== ALLOW) {
      return refused(head.requestId, withCookies(decision, setCookies), head, match, principal, isAuthenticated)
    }

    const countedMore = chargePrincipal(snapshot, ports.counters, route, authentication, head, ofAddress)
    const ofAll = countedMore instanceof Promise ? await countedMore : countedMore
    if (ofAll instanceof Refusal) {
      return refused(head.requestId, withCookies(ofAll, setCookies), head, match, principal, isAuthenticated)
    }
    charged = ofAll

    const planned = planForward(
      upstreamHeaders,
      snapshot,
      ports.assertions,
      ports.servers,
      match,
      head,
      authentication,
      ofAll,
    )
    plan = planned instanceof Promise ? await planned : planned
    return plan instanceof Refusal ? refused(head.requestId, plan, head, match, principal, isAuthenticated) : plan
  } finally {
    if (plan === null || plan instanceof Refusal) release(charged)
  }
}

function release({ leases }: Charged): void {
  for (const lease of leases) lease.release()
}

/** What an exchange that is still allowed rests on from now on. */
export interface Rechecked {
  readonly principal: Principal | null
  readonly proofs: readonly Proof[]
}

const REVOKED = Object.freeze(new Refusal('principal.revoked'))
const MOVED = Object.freeze(new Refusal('policy.changed'))

/**
 * May the caller of an exchange that is still open go on? The same credentials are verified again and the same question is
 * asked, as of now and of the policy in force. What is under way was begun in one subject's name, or in nobody's, and towards one
 * upstream path: that much must still be so. Nothing is charged again.
 */
export async function recheck(
  snapshot: Snapshot,
  ports: Ports,
  plan: ForwardPlan,
  nowMs: number,
): Promise<Rechecked | Refusal> {
  const head = readmit(snapshot.admission, plan.head, nowMs)
  const match = matchRoute(snapshot.routes, head)
  if (match === OWN) return MOVED
  if (match instanceof Refusal) return match
  const { access, route, params } = match
  if (access === null || !isSameWay(plan.route, route)) return MOVED
  if (access.kind === 'public' && plan.principal === null) return NOBODY
  const authentication = await authenticate(ports, head)
  if (authentication instanceof Refusal) return authentication
  const { principal, proofs } = authentication
  if (principal?.subject !== plan.principal?.subject || principal?.issuer !== plan.principal?.issuer) return REVOKED
  const decision = authorize(access, principal, { head, params }, snapshot.allowUnverifiedEmail)
  return decision === ALLOW ? { principal, proofs } : decision
}

function isSameWay(was: Route, is: Route): boolean {
  const [before, now] = [was.prefixSwap, is.prefixSwap]
  return was.upstream?.id === is.upstream?.id && before?.strip === now?.strip && before?.add === now?.add
}

/** The head the client gets for an upstream's head. */
export function answer(snapshot: Snapshot, plan: ForwardPlan, upstream: AnswerHead): AnswerHead {
  return { status: upstream.status, headers: clientHeaders(snapshot, plan, upstream.headers) }
}

/** The whole answer to a refused request: a problem, or for a browser that only has to sign in, the way there. */
export async function answerRefusal(snapshot: Snapshot, ports: Ports, outcome: Refused): Promise<OwnAnswer> {
  const { head, refusal, requestId } = outcome
  const problem = problemAnswer(refusal, requestId, snapshot.origin, snapshot.ownHeaders)
  if (head === null || ports.sealer === null || !maySignIn(snapshot, problem.status, outcome, head)) {
    return readable(problem, outcome)
  }
  const asked = head.target.path + head.target.query
  const isReturnable = (head.method === 'GET' || head.method === 'HEAD') && asked.length <= RETURN_CHARS_MAX
  const endsAtMs = head.receivedAtMs + SIGN_IN_RETURN_MS
  let location = `/_postern/sign-in?return=${encodeURIComponent(await ports.sealer.seal('return', isReturnable ? asked : '/', endsAtMs))}`
  if (refusal.stepUp !== null) {
    const missing = refusal.stepUp.isSecondFactorNeeded ? 'mfa' : 'fresh'
    location += `&again=${encodeURIComponent(await ports.sealer.seal('step-up', missing, endsAtMs))}`
  }
  const headers: string[] = ['Location', location]
  headers.push('Cache-Control', 'no-store', 'X-Request-Id', requestId, 'Content-Length', '0')
  for (const cookie of refusal.setCookies) headers.push('Set-Cookie', cookie)
  return { status: 302, headers: [...headers, ...snapshot.ownHeaders], body: '' }
}

/** A browser at the origin itself, where its session would be, on a route that takes one, and somebody whom it can help. */
function maySignIn(
  snapshot: Snapshot,
  status: number,
  { refusal, principal, match }: Refused,
  head: RequestHead,
): boolean {
  if (status !== 401 || !head.isNavigation || head.target.authority !== snapshot.admission.authority) return false
  if (match !== null && match.access !== null && !takesSessions(match.access)) return false
  return refusal.stepUp === null || principal?.credential === 'session'
}

function takesSessions(access: Access): boolean {
  if (access.kind !== 'require') return true
  return access.checks.every((check) => check.kind !== 'with' || check.anyOf.includes('session'))
}

/** With the lines that let a page of another origin read it. A 404 is the same bytes whether there is a route or not. */
function readable(problem: OwnAnswer, { match, head }: Refused): OwnAnswer {
  if (match === null || head === null || problem.status === 404) return problem
  const vary = variesByOrigin(match.route) ? ['Vary', 'Origin'] : []
  return { ...problem, headers: [...problem.headers, ...corsLines(match.route, head), ...vary] }
}

/** How long someone may take to sign in and still come back to the page that was asked for. */
const SIGN_IN_RETURN_MS = 3_600_000
/** Sealed, it grows by a third: the address of the sign-in page must stay within what admission takes. */
const RETURN_CHARS_MAX = 6000

/** How far a try came that failed. */
export interface Attempt {
  /** The first is 1. */
  readonly tries: number
  /** Something may have reached the server. */
  readonly isSent: boolean
  /** Something came back, if only an interim answer. */
  readonly isAnswered: boolean
}

/**
 * May a try that failed be made once more? Only when nothing was sent; or nothing came back, there is no body that is gone,
 * and twice is as good as once (RFC 9110 §9.2.2).
 */
export function mayRetry(head: RequestHead, { tries, isSent, isAnswered }: Attempt): boolean {
  if (isAnswered || tries >= TRIES_MAX) return false
  return !isSent || (!head.isUpgrade && head.bodyBytes === 0 && IDEMPOTENT.has(head.method))
}

const TRIES_MAX = 3
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

/**
 * The last verb: what is written about a finished exchange. A proposal is decided here, from what is in memory and with nobody
 * waiting (SECURITY rule 34), and so is why a request was refused.
 */
export function record(
  snapshot: Snapshot,
  outcome: Outcome,
  receivedAtMs: number,
  ending: Ending,
): AccessRecord | RecordedDecision {
  const match = matchOf(snapshot, outcome)
  const proposed = match?.route.proposed ? propose(snapshot, outcome, match, match.route.proposed) : null
  const written = accessRecord(snapshot.version.slice(0, POLICY_DIGITS), outcome, proposed, receivedAtMs, ending)
  if (written.reason === null) return written
  const { id: route = null, place = null } = match?.route ?? {}
  return { ...written, route, place, findings: findingsOf(snapshot, outcome, match) }
}

/** Of the policy's SHA-256, in each line of the log. */
const POLICY_DIGITS = 12

/** The route a request met. One that is denied was refused without a word of where; the log may know. */
function matchOf(snapshot: Snapshot, outcome: Outcome): RouteMatch | null {
  if (outcome.kind === 'own') return null
  if (outcome.kind !== 'refuse' || outcome.match !== null) return outcome.match
  const { head, refusal } = outcome
  if (refusal.reason !== 'route.denied' || head === null) return null
  const found = snapshot.routes.find(head.target.authority, head.target.path)
  return found === null ? null : { ...found, access: DENIED }
}

const DENIED: Access = Object.freeze({ kind: 'deny' })

/** Empty where the caller was not looked for, or could not be told: then the checks have nothing to say. */
function findingsOf(snapshot: Snapshot, outcome: Outcome, match: RouteMatch | null): readonly Finding[] {
  if (outcome.kind !== 'refuse' || outcome.head === null || match === null) return []
  const { access, params } = match
  if (access?.kind === 'deny' || !(outcome.isAuthenticated || access === null)) return []
  const facts = { head: outcome.head, params }
  return discreet(explainAccess(access, outcome.principal, facts, snapshot.allowUnverifiedEmail))
}

/** How the route's access and what is proposed in its place compare for one caller, whatever else befell the request. */
function propose(
  snapshot: Snapshot,
  outcome: Outcome,
  match: RouteMatch,
  proposed: AccessByMethod,
): AccessRecord['proposed'] {
  if ((outcome.kind !== 'forward' && outcome.kind !== 'refuse') || outcome.head === null) return null
  const { head, principal } = outcome
  const { route, params, access } = match
  const isAuthenticated = outcome.kind === 'forward' ? access?.kind !== 'public' : outcome.isAuthenticated
  const isPresented = head.authorization !== null || head.apiKey !== null || head.sessionCookie !== null
  const isRefused = outcome.kind === 'refuse' && !isAuthenticated && isBadCredential(outcome.refusal)
  const isAllowed = (asked: Access | null): boolean | null => {
    if (asked === null || asked.kind === 'deny') return false
    if (asked.kind === 'public') return true
    if (isRefused) return false
    if (!isAuthenticated && isPresented) return null
    return authorize(asked, principal, { head, params }, snapshot.allowUnverifiedEmail) === ALLOW
  }
  const now = isAllowed(access)
  const then = isAllowed(accessOf({ ...route, access: proposed }, head))
  if (now === null || then === null) return 'unknown'
  if (now === then) return 'same'
  return then ? 'would-allow' : 'would-refuse'
}

/** A credential that verified as bad is refused by every access but `public`; one that could not be verified tells nothing. */
function isBadCredential({ reason }: Refusal): boolean {
  return /^(?:credential|session|token|key)\./.test(reason) && REASONS[reason] !== 'cannot-decide'
}

/** 405 only where this caller could use another method of the route; else the route does not exist for them (SECURITY rule 33). */
async function refuseMethod(snapshot: Snapshot, ports: Ports, match: RouteMatch, head: RequestHead): Promise<Refusal> {
  const found = await authenticate(ports, head)
  const principal = found instanceof Refusal ? null : found.principal
  const facts = { head, params: match.params }
  const allow: string[] = []
  for (const [method, access] of match.route.access) {
    if (access.kind === 'deny' || !METHOD.test(method)) continue
    if (authorize(access, principal, facts, snapshot.allowUnverifiedEmail) === ALLOW) allow.push(method)
  }
  return allow.length > 0 ? new Refusal('method.unlisted', { allow }) : new Refusal('route.unlisted')
}

/** The keys of an access map that are methods: `*`, `write` and `websocket` are not. */
const METHOD = /^[A-Z]/

function withCookies(refusal: Refusal, setCookies: HeaderList): Refusal {
  return setCookies.length === 0 ? refusal : new Refusal(refusal.reason, { ...refusal, setCookies })
}

function refused(
  requestId: string,
  refusal: Refusal,
  head: RequestHead | null = null,
  match: RouteMatch | null = null,
  principal: Principal | null = null,
  isAuthenticated = false,
): Refused {
  return { kind: 'refuse', requestId, refusal, head, match, principal, isAuthenticated }
}
