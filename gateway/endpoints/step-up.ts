/** Who must sign in again although signed in already, and why: told by a seal of ours, so that no link can make the page say it. */

import { cookieValues } from '../http/cookies.ts'
import type { Principal } from '../model.ts'
import { hostOf, type PageDeps } from './deps.ts'
import type { Missing, StepUpView } from './pages/step-up.ts'

/** As `pipeline.ts` seals it. */
const PURPOSE = 'step-up'

/** Null where nobody is signed in or nothing more was asked for: then it is an ordinary sign-in. */
export async function stepUpOf(
  deps: PageDeps,
  principal: Principal | null,
  sealedReason: string | null | undefined,
  sealedReturn: string | null,
): Promise<StepUpView | null> {
  if (sealedReason === null || sealedReason === undefined || principal === null || principal.email === null) return null
  const reason = await deps.sealer.open(PURPOSE, sealedReason, deps.nowMs())
  if (reason !== 'fresh' && reason !== 'mfa') return null
  return {
    host: hostOf(deps),
    missing: missingOf(principal, reason),
    sealedReason,
    sealedReturn,
    email: principal.email,
    alert: null,
    passwordError: undefined,
  }
}

/** Only a session that nobody proved anything for has no time of a sign-in (SECURITY rule 15). */
function missingOf({ authenticatedAtMs }: Principal, reason: 'fresh' | 'mfa'): Missing {
  return authenticatedAtMs === null ? 'stand-in' : reason
}

/** A session that was to end with the browser stays one. */
export function isRemembered(deps: PageDeps, request: Request): boolean {
  const name = deps.sessionCookieName.replace('session_token', 'dont_remember')
  return cookieValues(request.headers.get('cookie') ?? '', name).length === 0
}
