/** Turns an allowed request into a plan: which upstream, which path, which field lines. Fails closed when identity cannot be written. */

import { hostOf } from '../http/authority.ts'
import { swapPrefix } from '../http/prefix.ts'
import {
  type Authentication,
  type ForwardPlan,
  type HeaderList,
  type Principal,
  Refusal,
  type RequestHead,
  type RouteMatch,
  type Soon,
} from '../model.ts'
import type { AssertionSource, ServerChoice } from '../ports.ts'
import type { Route, Upstream } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { nextServer } from './servers.ts'

/** Composes the upstream's field lines; `transform/` provides it and `pipeline.ts` passes it in, for stages do not import each other. */
export type ComposeHeaders = (
  snapshot: Snapshot,
  route: Route,
  upstream: Upstream,
  head: RequestHead,
  principal: Principal | null,
  assertion: string | null,
  origin: string,
) => Composed | Refusal

export interface Composed {
  readonly headers: HeaderList
  readonly droppedGroups: number
}

const TOO_LARGE = Object.freeze(new Refusal('body.too-large'))
const AMBIGUOUS = Object.freeze(new Refusal('target.ambiguous'))
const DOWN = Object.freeze(new Refusal('upstream.down'))
const NO_UPSTREAM = Object.freeze(new Refusal('upstream.none'))

export function planForward(
  compose: ComposeHeaders,
  snapshot: Snapshot,
  assertions: AssertionSource | null,
  servers: ServerChoice | null,
  match: RouteMatch,
  head: RequestHead,
  authentication: Authentication,
  { leases, headers: answerHeaders }: Pick<ForwardPlan, 'leases'> & { readonly headers: HeaderList },
): Soon<ForwardPlan | Refusal> {
  const { route } = match
  const { upstream } = route
  const { principal, proofs, setCookies } = authentication
  if (upstream === null) return NO_UPSTREAM
  if (head.bodyBytes > route.bodyBytesMax) return TOO_LARGE
  const swapped = route.prefixSwap === null ? head.target.path : swapPrefix(head.target.path, route.prefixSwap)
  if (swapped === null) return AMBIGUOUS
  const path = swapped + head.target.query
  const server = servers === null ? nextServer(upstream) : servers.choose(upstream)
  if (server === null) return DOWN
  const { origin } = server
  const finish = (assertion: string | null): ForwardPlan | Refusal => {
    const composed = compose(snapshot, route, upstream, head, principal, assertion, origin)
    if (composed instanceof Refusal) return composed
    const { headers, droppedGroups } = composed
    const written = { origin, leases, answerHeaders, headers, droppedGroups, path, setCookies }
    return { kind: 'forward', head, route, upstream, match, principal, proofs, ...written }
  }
  if (principal === null || !upstream.isAsserted || assertions === null) return finish(null)
  const assertion = assertions.assertionFor(principal, upstream.id, head.receivedAtMs)
  return assertion instanceof Promise ? assertion.then(finish, unavailable) : finish(assertion)
}

/** The field lines of a plan, for another server of its upstream. */
export function linesFor({ upstream, headers }: ForwardPlan, origin: string): HeaderList {
  // The first line is Host, and nobody's to change.
  return upstream.host === 'public' ? headers : headers.with(1, hostOf(origin))
}

function unavailable(error: unknown): Refusal {
  return new Refusal('assertion.unavailable', { log: error instanceof Error ? error.message : String(error) })
}
