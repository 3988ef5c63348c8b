/**
 * The doors of the identity provider, one row each (SECURITY rule 29). A path that is not in the table does not exist;
 * each path that is mounted and left out stands in CLOSED with its reason, and a test compares both with what is mounted.
 */

/** What a path asks of its caller before the identity provider sees the request. */
export type Door = 'public' | 'session' | 'fresh-session'

/** How long after signing in a session may change its account (SECURITY rule 31). */
export const FRESH_MS = 900_000

/** Method and path below `/api/auth`. */
export const OPEN: ReadonlyMap<string, Door> = new Map([
  ['POST /sign-up/email', 'public'],
  ['POST /sign-in/email', 'public'],
  ['POST /sign-out', 'public'],
  ['GET /get-session', 'public'],
  ['GET /jwks', 'public'],
  ['GET /token', 'session'],
  ['GET /list-sessions', 'session'],
  ['POST /revoke-session', 'session'],
  ['POST /revoke-sessions', 'session'],
  ['POST /revoke-other-sessions', 'session'],
  // Its body proves the password again, which is fresher than any session.
  ['POST /change-password', 'session'],
  ['POST /update-user', 'fresh-session'],
])

const NO_MAIL = 'a link can reach its owner by mail only, and no mail is configured in this version'
const NO_SOCIAL = 'no social provider is available in this version'
const NO_FACTOR = 'administration asks for a second factor, which no session has in this version; use the command line'
const NO_KEYS = 'keys are made and revoked by the command line and the admin API, which keep a record of it'
const NO_GROUPS = 'memberships carry no meaning in this version'

/** Mounted, and answered 404: the path, or a whole family ending in `*`, with the reason. */
export const CLOSED: ReadonlyMap<string, string> = new Map([
  ['POST /get-session', 'sessions are extended by the gateway, and a read is a GET'],
  ['POST /sign-in/social', NO_SOCIAL],
  ['GET /callback/:id', NO_SOCIAL],
  ['POST /callback/:id', NO_SOCIAL],
  ['POST /link-social', NO_SOCIAL],
  ['POST /unlink-account', NO_SOCIAL],
  ['GET /list-accounts', NO_SOCIAL],
  ['GET /account-info', NO_SOCIAL],
  ['POST /refresh-token', NO_SOCIAL],
  ['POST /get-access-token', NO_SOCIAL],
  ['POST /request-password-reset', NO_MAIL],
  ['GET /reset-password/:token', NO_MAIL],
  ['POST /reset-password', NO_MAIL],
  ['POST /send-verification-email', NO_MAIL],
  ['GET /verify-email', NO_MAIL],
  ['POST /change-email', NO_MAIL],
  ['POST /delete-user', NO_MAIL],
  ['GET /delete-user/callback', NO_MAIL],
  ['POST /update-session', 'no field of a session is its owner’s to change'],
  ['POST /verify-password', 'it would let a stolen session guess the password'],
  ['GET /ok', 'readiness is answered by the gateway'],
  ['GET /error', 'errors are shown by the gateway'],
  ['GET /admin/*', NO_FACTOR],
  ['POST /admin/*', NO_FACTOR],
  ['GET /api-key/*', NO_KEYS],
  ['POST /api-key/*', NO_KEYS],
  ['GET /organization/*', NO_GROUPS],
  ['POST /organization/*', NO_GROUPS],
])

/** The door for a request, or null when there is none. Nothing is normalized: one path, one spelling. */
export function doorFor(method: string, path: string): Door | null {
  return OPEN.get(`${method} ${path}`) ?? null
}
