/**
 * Who may use the admin API: an admin's API key with the scope `admin`, or an admin's own session that is fresh and has a
 * second factor. No cookie counts, and no token but a session's own, whatever roles it claims (SECURITY rules 12 and 29).
 */

import { type Authentication, type Principal, Refusal } from '../../model.ts'
import type { AdminDeps } from './deps.ts'

const FRESH_MS = 900_000
const ROLE = 'admin'
const SCOPE = 'admin'

const STALE = Object.freeze(new Refusal('revocation.stale'))
const NO_ROLE = Object.freeze(new Refusal('role.missing', { detail: `The role ${ROLE} is needed.` }))
const NO_SCOPE = Object.freeze(new Refusal('scope.missing', { detail: `The key needs the scope ${SCOPE}.` }))
const NOT_FRESH = Object.freeze(new Refusal('admin.not-fresh'))
const ONE_FACTOR = Object.freeze(
  new Refusal('admin.one-factor', {
    detail: `Use an API key with the scope ${SCOPE}, or a session that was begun with a second factor.`,
  }),
)
const TWICE = Object.freeze(new Refusal('credential.duplicate'))
const NO_KEYS = Object.freeze(new Refusal('key.unknown'))
const SCHEME = Object.freeze(new Refusal('credential.scheme'))

/** The principal that is let in, or the refusal with whom it was for, as far as that is known. */
export type Admitted =
  | { readonly principal: Principal; readonly refusal: null }
  | { readonly principal: Principal | null; readonly refusal: Refusal }

export async function admitAdmin(deps: AdminDeps, request: Request): Promise<Admitted> {
  const nowMs = deps.nowMs()
  // Before the credential: what is remembered of it counts only if the log is known.
  if (!deps.revocations.isFresh() && !(await deps.revocations.catchUp())) return { principal: null, refusal: STALE }
  const found = await verify(deps, request, nowMs)
  if (found instanceof Refusal) return { principal: null, refusal: found }
  const { principal } = found
  if (principal === null) return { principal, refusal: missing(deps) }
  const refusal = refuse(principal, nowMs) ?? (await deps.limit(found, nowMs))
  return refusal === null ? { principal, refusal } : { principal, refusal }
}

async function verify(deps: AdminDeps, request: Request, nowMs: number): Promise<Authentication | Refusal> {
  const key = request.headers.get(deps.keyHeader)
  const authorization = request.headers.get('authorization')
  if (key !== null && authorization !== null) return TWICE
  if (key !== null) return deps.keys === null ? NO_KEYS : deps.keys.verifyKey(key, nowMs)
  if (authorization === null) return missing(deps)
  const bearer = /^bearer +(\S+)$/i.exec(authorization)
  return bearer === null ? SCHEME : deps.sessions.verifyBearer(bearer[1]!, nowMs)
}

function refuse(principal: Principal, nowMs: number): Refusal | null {
  if (principal.source !== null || !principal.roles.includes(ROLE)) return NO_ROLE
  if (principal.credential === 'key') return principal.scopes.includes(SCOPE) ? null : NO_SCOPE
  if (principal.credential !== 'session') return SCHEME
  const { authenticatedAtMs } = principal
  // A sign-in of the future is one from before the clock was set back.
  if (authenticatedAtMs === null || Math.abs(nowMs - authenticatedAtMs) > FRESH_MS) return NOT_FRESH
  return principal.hasSecondFactor ? null : ONE_FACTOR
}

function missing({ keyHeader }: AdminDeps): Refusal {
  return new Refusal('credential.missing', {
    detail: `Send an API key with the scope ${SCOPE} in ${keyHeader}. Cookies do not count here.`,
  })
}

/** For the audit trail: whose, and by which key or session. */
export function actorOf(principal: Principal | null): string {
  if (principal === null) return '-'
  const { subject, keyId, sessionId } = principal
  return keyId === null ? `${subject} session:${sessionId}` : `${subject} key:${keyId}`
}
