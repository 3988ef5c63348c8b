/**
 * The verbs, in order. `decide` is the whole story of a request: read it from top to bottom.
 * A step yields a value or a Refusal; only ALLOW lets a request in; an exception is a bug and never a pass.
 */

import { admit } from './admit/admit.ts'
import { authenticate, NOBODY } from './authenticate/authenticate.ts'
import { refuseCrossSite, refuseServiceWorker } from './authenticate/browser.ts'
import { authorize } from './authorize/authorize.ts'
import { planForward } from './forward/plan.ts'
import { limitAddress } from './limit/address.ts'
import { limitCredential } from './limit/credential.ts'
import {
  ALLOW,
  type AnswerHead,
  type ForwardPlan,
  type HeaderList,
  type Outcome,
  type OwnAnswer,
  type Principal,
  type Proof,
  type RawHead,
  Refusal,
  type Refused,
  type RequestHead,
  type Route,
  type RouteMatch,
} from './model.ts'
import type { Ports } from './ports.ts'
import { problemAnswer } from './problem/response.ts'
import { matchRoute, OWN } from './route/match.ts'
import type { Snapshot } from './snapshot.ts'
import { upstreamHeaders } from './transform/request-headers.ts'
import { clientHeaders } from './transform/response-headers.ts'

/** Decides one request head. Resolves with what to do; rejects only when there is a bug. */
export async function decide(snapshot: Snapshot, ports: Ports, raw: RawHead): Promise<Outcome> {
  const head = admit(snapshot.admission, raw)
  if (head instanceof Refusal) return refused(raw.requestId, head)

  const limited = limitAddress(snapshot.addressLimit, ports.counters, head)
  const excess = limited instanceof Promise ? await limited : limited
  if (excess !== null) return refused(head.requestId, excess, head)

  const match = matchRoute(snapshot.routes, head)
  if (match === OWN) return { kind: 'own', head }
  if (match instanceof Refusal) return refused(head.requestId, match, head)
  const { route, access } = match

  const crossSite = refuseCrossSite(snapshot.origin, head) ?? refuseServiceWorker(route, head)
  if (crossSite !== null) return refused(head.requestId, crossSite, head, route)
  if (access === null) return refused(head.requestId, await refuseMethod(snapshot, ports, match, head), head, route)

  const found = access.kind === 'public' ? NOBODY : authenticate(ports, head)
  const authentication = found instanceof Promise ? await found : found
  if (authentication instanceof Refusal) return refused(head.requestId, authentication, head, route)
  const { principal, setCookies } = authentication

  const decision = authorize(access, principal, { head, params: match.params }, snapshot.allowUnverifiedEmail)
  if (decision !== ALLOW) return refused(head.requestId, withCookies(decision, setCookies), head, route, principal)

  const charged = limitCredential(ports.counters, authentication, head.receivedAtMs)
  const overdrawn = charged instanceof Promise ? await charged : charged
  if (overdrawn !== null) return refused(head.requestId, withCookies(overdrawn, setCookies), head, route, principal)

  const planned = planForward(upstreamHeaders, snapshot, ports.assertions, match, head, authentication)
  const plan = planned instanceof Promise ? await planned : planned
  if (plan instanceof Refusal) return refused(head.requestId, plan, head, route, principal)
  return plan
}

/** What an exchange that is still allowed rests on from now on. */
export interface Rechecked {
  readonly principal: Principal
  readonly proofs: readonly Proof[]
}

const REVOKED = Object.freeze(new Refusal('principal.revoked'))

/**
 * May the caller of an exchange that is still open go on? The same credentials are verified again and the same question is
 * asked, as of now. They must speak for the same subject: what is under way was begun in that one's name.
 */
export async function recheck(
  snapshot: Snapshot,
  ports: Ports,
  plan: ForwardPlan,
  nowMs: number,
): Promise<Rechecked | Refusal> {
  const { match } = plan
  const head: RequestHead = { ...plan.head, receivedAtMs: nowMs }
  const authentication = await authenticate(ports, head)
  if (authentication instanceof Refusal) return authentication
  const { principal, proofs } = authentication
  if (principal === null || plan.principal === null || match.access === null) return REVOKED
  if (principal.subject !== plan.principal.subject || principal.issuer !== plan.principal.issuer) return REVOKED
  const decision = authorize(match.access, principal, { head, params: match.params }, snapshot.allowUnverifiedEmail)
  return decision === ALLOW ? { principal, proofs } : decision
}

/** The head the client gets for an upstream's head. */
export function answer(snapshot: Snapshot, plan: ForwardPlan, upstream: AnswerHead): AnswerHead {
  return { status: upstream.status, headers: clientHeaders(snapshot, plan, upstream.headers) }
}

/** The whole answer to a refused request: a problem, or for a browser that only has to sign in, the way there. */
export async function answerRefusal(snapshot: Snapshot, ports: Ports, outcome: Refused): Promise<OwnAnswer> {
  const { head, refusal, requestId } = outcome
  const problem = problemAnswer(refusal, requestId, snapshot.origin, snapshot.ownHeaders)
  if (problem.status !== 401 || head === null || !head.isNavigation || ports.sealer === null) return problem
  const asked = head.target.path + head.target.query
  const isReturnable = (head.method === 'GET' || head.method === 'HEAD') && asked.length <= RETURN_CHARS_MAX
  const wanted = isReturnable ? asked : '/'
  const sealed = await ports.sealer.seal('return', wanted, head.receivedAtMs + SIGN_IN_RETURN_MS)
  const headers: string[] = ['Location', `/_postern/sign-in?return=${encodeURIComponent(sealed)}`]
  headers.push('Cache-Control', 'no-store', 'X-Request-Id', requestId, 'Content-Length', '0')
  for (const cookie of refusal.setCookies) headers.push('Set-Cookie', cookie)
  return { status: 302, headers: [...headers, ...snapshot.ownHeaders], body: '' }
}

/** How long someone may take to sign in and still come back to the page that was asked for. */
const SIGN_IN_RETURN_MS = 3_600_000
/** Sealed, it grows by a third: the address of the sign-in page must stay within what admission takes. */
const RETURN_CHARS_MAX = 6000

/**
 * May a failed attempt be sent once more? Only when it cannot have had an effect: a method that is safe,
 * no body, and not a byte of an answer (RFC 9110 §9.2.2).
 */
export function mayRetry(head: RequestHead, isResponseStarted: boolean): boolean {
  return (
    !isResponseStarted && !head.isUpgrade && head.bodyBytes === 0 && (head.method === 'GET' || head.method === 'HEAD')
  )
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
  route: Route | null = null,
  principal: Principal | null = null,
): Refused {
  return { kind: 'refuse', requestId, refusal, head, route, principal }
}
