/** Why a request was decided as it was: the route and its line, what was needed and had, what the upstream gets, and what would let it pass. */

import { explainAccess } from '../authorize/explain.ts'
import type { AccessRecord, Finding, ForwardPlan, Outcome, Principal, Refused, RequestHead } from '../model.ts'
import { record } from '../pipeline.ts'
import type { ProblemCode, Reason } from '../problem/catalogue.ts'
import type { Route } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { describeAccess } from './describe.ts'
import { ambiguityOf, nearestRoute, REASON_WORDS, servedHosts } from './reason-words.ts'
import type { Simulation } from './simulate.ts'
import { stepsToPass } from './to-pass.ts'

export interface Explanation {
  readonly method: string
  readonly url: string
  readonly verdict: 'allow' | 'refuse' | 'preflight' | 'own'
  /** Null where somebody else answers: the upstream, or one of the gateway's own pages. */
  readonly status: number | null
  readonly code: ProblemCode | null
  readonly reason: Reason | null
  readonly route: ExplainedRoute | null
  /** Every check of the access, in the order it is asked; empty where nobody was asked for anything. */
  readonly findings: readonly Finding[]
  readonly upstream: ExplainedUpstream | null
  /** What the route's `proposed` would have said; null where it has none. */
  readonly proposed: AccessRecord['proposed']
  /** One sentence. */
  readonly why: string
  /** In order; empty when it passes, or when nothing that a caller does would help. */
  readonly toPass: readonly string[]
  readonly notes: readonly string[]
}

export interface ExplainedRoute {
  readonly pattern: string
  readonly place: string
  /** What it asks of this method, in words; null where that was never asked. */
  readonly access: string | null
}

export interface ExplainedUpstream {
  readonly id: string
  readonly origin: string
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
}

/** `personNotes` say what of a person of the file counts for nothing. */
export function explainRequest(
  snapshot: Snapshot,
  simulation: Simulation,
  personNotes: readonly string[] = [],
): Explanation {
  const { request, outcome, answer, code } = simulation
  const ending = { status: answer?.status ?? 0, endedAtMs: request.atMs, isAborted: false, failure: null, asked: null }
  const { proposed } = record(snapshot, outcome, request.atMs, ending)
  const notes = [...personNotes, ...lostCookie(snapshot, outcome.head), ...proposedWords(proposed)]
  const asked = { method: request.method, url: request.url, code, proposed, notes, status: answer?.status ?? null }
  const route = routeOf(snapshot, outcome)
  const findings = findingsOf(snapshot, outcome)
  if (outcome.kind === 'refuse') {
    const refused = explainRefusal(snapshot, outcome, route)
    const isSentToSignIn = answer?.status === 302
    const why = isSentToSignIn ? `${refused.why}, and a browser is sent to the sign-in page` : refused.why
    return {
      ...asked,
      ...refused,
      why,
      verdict: 'refuse',
      reason: outcome.refusal.reason,
      route: route === null ? null : explainedRoute(route, accessWords(outcome)),
      findings,
      upstream: null,
      notes: [...notes, ...refused.notes],
    }
  }
  const rest = { ...asked, reason: null, findings, toPass: [] }
  switch (outcome.kind) {
    case 'forward': {
      const { access } = outcome.match
      const shown = explainedRoute(outcome.route, access === null ? null : describeAccess(access))
      const why = `${outcome.principal?.subject ?? 'anybody'} may come in`
      return { ...rest, verdict: 'allow', why, route: shown, upstream: upstreamOf(outcome) }
    }
    case 'preflight': {
      const shown = explainedRoute(outcome.match.route, null)
      return { ...rest, verdict: 'preflight', why: preflightWhy(outcome.answer.headers), route: shown, upstream: null }
    }
    case 'own':
      return { ...rest, verdict: 'own', why: OWN_PAGE, route: null, upstream: null }
  }
}

function proposedWords(proposed: AccessRecord['proposed']): readonly string[] {
  switch (proposed) {
    case null:
      return []
    case 'same':
      return ['`proposed` would decide the same']
    case 'would-allow':
      return ['`proposed` would let it in']
    case 'would-refuse':
      return ['`proposed` would refuse it']
    case 'unknown':
      return ['what `proposed` would decide cannot be told']
  }
}

const OWN_PAGE = 'this is one of the gateway’s own paths, which no route decides'

/** Did the answer to a preflight give leave? */
export function isPreflightGranted(headers: readonly string[]): boolean {
  return headers.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'access-control-allow-methods')
}

function preflightWhy(headers: readonly string[]): string {
  return isPreflightGranted(headers)
    ? 'a browser’s question before a request from another origin: the route’s `cors` allows it'
    : 'a browser’s question before a request from another origin: the route’s `cors` does not allow it'
}

/** Our cookie is for the origin’s own host: elsewhere it proves nothing. */
function lostCookie({ admission, origin }: Snapshot, head: RequestHead | null): readonly string[] {
  if (head === null || head.target.authority === admission.authority) return []
  const at = head.names.indexOf('cookie')
  const isPresented = at >= 0 && head.headers[2 * at + 1]!.includes(`${admission.sessionCookieName}=`)
  return isPresented ? [`a session counts on ${origin} only: on other hosts come with a token or a key`] : []
}

/** The route that decided, though it may have decided that nothing is there. */
function routeOf(snapshot: Snapshot, outcome: Outcome): Route | null {
  if (outcome.kind === 'own') return null
  if (outcome.kind === 'forward') return outcome.route
  if (outcome.match !== null) return outcome.match.route
  const target = outcome.head?.target ?? null
  return target === null ? null : (snapshot.routes.find(target.authority, target.path)?.route ?? null)
}

function explainedRoute({ id, place }: Route, access: string | null): ExplainedRoute {
  return { pattern: id, place, access }
}

/** What the route asks of this method; null where something else was refused before anybody asked. */
function accessWords({ match, refusal }: Refused): string | null {
  if (match === null) return refusal.reason === 'route.denied' ? describeAccess({ kind: 'deny' }) : null
  return match.access === null ? 'nothing is listed for this method' : describeAccess(match.access)
}

function findingsOf(snapshot: Snapshot, outcome: Outcome): readonly Finding[] {
  if (outcome.kind !== 'forward' && outcome.kind !== 'refuse') return []
  const { match, head, principal } = outcome
  if (match === null || head === null || match.access === null) return []
  if (outcome.kind === 'refuse' && !outcome.isAuthenticated) return []
  const facts = { head, params: match.params }
  return explainAccess(match.access, principal, facts, snapshot.allowUnverifiedEmail)
}

export function upstreamOf({ upstream, origin, path, headers }: ForwardPlan): ExplainedUpstream {
  const pairs: [string, string][] = []
  for (let at = 0; at < headers.length; at += 2) pairs.push([headers[at]!, headers[at + 1]!])
  return { id: upstream.id, origin, path, headers: pairs }
}

function whoIs(principal: Principal | null): string {
  return principal === null ? 'nobody in particular' : principal.subject
}

type Sentences = Pick<Explanation, 'why' | 'toPass' | 'notes'>

function explainRefusal(snapshot: Snapshot, outcome: Refused, route: Route | null): Sentences {
  const { refusal, head, match, principal, isAuthenticated } = outcome
  const words = REASON_WORDS[refusal.reason]
  const plain: Sentences = {
    why: words?.why ?? `refused: ${refusal.reason}`,
    toPass: words?.cure === undefined ? [] : [words.cure],
    notes: [],
  }
  switch (refusal.reason) {
    case 'authority.unknown':
      return { ...plain, toPass: [`ask one of the hosts that are served: ${servedHosts(snapshot).join(', ')}`] }
    case 'route.unlisted':
      if (match !== null) {
        const why = `the route lists nothing for this method, and ${whoIs(principal)} could use none of its others`
        return { ...plain, why, toPass: [`add the method to \`access\` at ${match.route.place}`] }
      }
      return { ...plain, toPass: [addRoute(snapshot, head)] }
    case 'route.denied':
      return { ...plain, toPass: route === null ? [] : [`change \`access\` at ${route.place}`] }
    case 'method.unlisted':
      return {
        ...plain,
        toPass: [`use ${refusal.allow.join(' or ')}, or add the method to \`access\` at ${route?.place}`],
      }
    case 'target.ambiguous':
      return { ...plain, notes: head === null ? [] : ambiguityOf(snapshot, head) }
  }
  if (!isAuthenticated || match === null || head === null || match.access === null) return plain
  const facts = { head, params: match.params }
  const steps = stepsToPass(match.access, principal, facts, snapshot.allowUnverifiedEmail)
  return steps.length === 0 ? plain : { ...plain, toPass: steps }
}

function addRoute(snapshot: Snapshot, head: RequestHead | null): string {
  const near = head === null ? null : nearestRoute(snapshot, head)
  return near === null
    ? 'add a route for this path'
    : `add a route for it, or did you mean \`${near.id}\` (${near.place})?`
}
