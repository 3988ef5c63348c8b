/** Who is at our own door: the same session source that guards the routes, so a page never believes what a route would not. */

import { cookieValues } from '../http/cookies.ts'
import { type Principal, Refusal } from '../model.ts'
import { REASONS } from '../problem/catalogue.ts'
import type { PageDeps } from './deps.ts'

export interface Visitor {
  readonly principal: Principal | null
  readonly setCookies: readonly string[]
}

const NOBODY: Visitor = { principal: null, setCookies: [] }

/**
 * The visitor, or a Refusal only when that cannot be found out. A cookie that proves nothing is nobody's, and is taken
 * away: these are the pages where one gets a better one.
 */
export async function visitorOf(deps: PageDeps, request: Request): Promise<Visitor | Refusal> {
  const cookie = ownCookie(request, deps.sessionCookieName)
  if (cookie === null) return NOBODY
  const found = await deps.sessions.verifyCookie(cookie, deps.nowMs())
  if (!(found instanceof Refusal)) return found
  return REASONS[found.reason] === 'cannot-decide' ? found : { principal: null, setCookies: found.setCookies }
}

/** For a page that works for everybody. */
export async function visitorIfKnown(deps: PageDeps, request: Request): Promise<Visitor> {
  const found = await visitorOf(deps, request)
  return found instanceof Refusal ? NOBODY : found
}

/** How a page names someone. */
export function displayName(principal: Principal): string {
  return principal.email ?? principal.name ?? principal.subject
}

/** Value of our session cookie as presented, or null. Given twice it is nobody's, as `admit` has it. */
function ownCookie(request: Request, name: string): string | null {
  const values = cookieValues(request.headers.get('cookie') ?? '', name)
  return values.length === 1 ? values[0]! : null
}
