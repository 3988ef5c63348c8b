/** The account page and what its forms do; sessions are named by id in the page, and their tokens never leave the gateway. */

import { z } from 'zod'
import { type Principal, Refusal } from '../model.ts'
import { cookieHeaders, pageAnswer, refusalAnswer, seeOther } from './answers.ts'
import { hostOf, type PageDeps } from './deps.ts'
import { AccountForm, errorsOf, readForm } from './form.ts'
import { type AccountView, accountPage, deviceOf, type SessionView } from './pages/account.ts'
import { withReturn } from './pages/layout.ts'
import { askProvider, isDone, outageOf, type ProviderAnswer, withRevocation } from './provider-call.ts'
import { accountReturn } from './return-target.ts'
import { endThisSession, goodbye } from './sign-out.ts'
import { type Visitor, visitorOf } from './visitor.ts'

const PATH = '/_postern/account'
const SESSIONS_SHOWN_MAX = 100
const NOTICE_MS = 60_000

/** What an action says on the page after it, by the word that is sealed into the address: a link cannot make the page say it. */
const NOTICES: Readonly<Record<string, string>> = {
  'session-ended': 'That session has ended.',
  'password-changed': 'Your password is changed, and every other session has ended.',
}

type SignedIn = Visitor & { readonly principal: Principal }

export async function showAccount(deps: PageDeps, request: Request): Promise<Response> {
  const visitor = await signedIn(deps, request)
  if (visitor instanceof Response) return visitor
  const sealed = new URL(request.url).searchParams.get('notice')
  const notice = sealed === null ? null : await deps.sealer.open('notice', sealed, deps.nowMs())
  return render(deps, request, visitor, 200, { status: NOTICES[notice ?? ''] ?? null })
}

export async function changeAccount(deps: PageDeps, request: Request): Promise<Response> {
  const fields = await readForm(deps.origin, request)
  if (fields instanceof Refusal) return refusalAnswer(fields, request, deps.origin)
  const visitor = await signedIn(deps, request)
  if (visitor instanceof Response) return visitor
  const form = AccountForm.safeParse(fields)
  if (!form.success) {
    const errors = errorsOf(form.error)
    if (fields.action === 'change-password') {
      return render(deps, request, visitor, 422, { passwordErrors: { current: errors.current, next: errors.next } })
    }
    return refusalAnswer(new Refusal('head.malformed', { detail: 'No such action.' }), request, deps.origin)
  }
  switch (form.data.action) {
    case 'end-one':
      return endOne(deps, request, visitor, form.data.session)
    case 'end-all':
      return endAll(deps, request, visitor)
    case 'change-password':
      return changePassword(deps, request, visitor, form.data)
  }
}

async function endOne(deps: PageDeps, request: Request, visitor: SignedIn, id: string): Promise<Response> {
  if (id === visitor.principal.sessionId) return endThisSession(deps, request)
  const { answer, sessions } = await listSessions(deps, request)
  if (sessions === null) return unable(deps, request, visitor, answer)
  const found = sessions.find((session) => session.id === id)
  if (found !== undefined) {
    const ended = await askProvider(deps, request, 'POST', '/revoke-session', { token: found.token })
    if (!isDone(ended)) return unable(deps, request, visitor, ended)
    return withRevocation(await noticed(deps, 'session-ended', []), ended)
  }
  return noticed(deps, 'session-ended', [])
}

async function endAll(deps: PageDeps, request: Request, visitor: SignedIn): Promise<Response> {
  const answer = await askProvider(deps, request, 'POST', '/revoke-sessions')
  if (!isDone(answer)) return unable(deps, request, visitor, answer)
  // The cookie is of an ended session now, and asking about it yields the lines that remove it.
  const after = await visitorOf(deps, request)
  return withRevocation(goodbye(after instanceof Refusal ? [] : after.setCookies), answer)
}

async function changePassword(
  deps: PageDeps,
  request: Request,
  visitor: SignedIn,
  form: { readonly current: string; readonly next: string },
): Promise<Response> {
  const body = { currentPassword: form.current, newPassword: form.next, revokeOtherSessions: true }
  const answer = await askProvider(deps, request, 'POST', '/change-password', body)
  if (isDone(answer)) return withRevocation(await noticed(deps, 'password-changed', answer.setCookies), answer)
  const passwordErrors = PASSWORD_COMPLAINTS[answer.code ?? '']
  if (passwordErrors === undefined) return unable(deps, request, visitor, answer)
  return render(deps, request, visitor, 422, { passwordErrors })
}

const PASSWORD_COMPLAINTS: Readonly<Record<string, AccountView['passwordErrors']>> = {
  INVALID_PASSWORD: { current: 'That is not your current password.' },
  PASSWORD_TOO_SHORT: { next: 'That password is too short.' },
  PASSWORD_TOO_LONG: { next: 'That password is too long.' },
}

/** The page once more, saying why nothing happened. */
async function unable(deps: PageDeps, request: Request, visitor: SignedIn, answer: ProviderAnswer): Promise<Response> {
  const { status, alert } = outageOf(answer) ?? {
    status: 403,
    alert: 'Nothing was changed. This may need a new sign-in: sign out, sign in again, and repeat it.',
  }
  const response = await render(deps, request, visitor, status, { alert })
  if (answer.retryAfterS !== null) response.headers.set('retry-after', String(answer.retryAfterS))
  return response
}

async function noticed(deps: PageDeps, notice: string, setCookies: readonly string[]): Promise<Response> {
  const sealed = await deps.sealer.seal('notice', notice, deps.nowMs() + NOTICE_MS)
  return seeOther(`${PATH}?notice=${encodeURIComponent(sealed)}`, cookieHeaders(setCookies))
}

/** Who is signed in, or the way to the sign-in page and back here. */
async function signedIn(deps: PageDeps, request: Request): Promise<SignedIn | Response> {
  const visitor = await visitorOf(deps, request)
  if (visitor instanceof Refusal) return refusalAnswer(visitor, request, deps.origin)
  const { principal, setCookies } = visitor
  if (principal !== null) return { principal, setCookies }
  const sealed = await accountReturn(deps.sealer, deps.nowMs())
  return seeOther(withReturn('/_postern/sign-in', sealed), cookieHeaders(setCookies))
}

async function render(
  deps: PageDeps,
  request: Request,
  visitor: SignedIn,
  status: number,
  more: Partial<AccountView>,
): Promise<Response> {
  const { principal } = visitor
  const { answer, sessions } = await listSessions(deps, request)
  const page = accountPage({
    host: hostOf(deps),
    nowMs: deps.nowMs(),
    principal,
    sessions: sessions === null ? null : shown(sessions, principal.sessionId),
    alert: outageOf(answer)?.alert ?? null,
    status: null,
    passwordErrors: {},
    ...more,
  })
  return pageAnswer(status, page, cookieHeaders([...visitor.setCookies, ...answer.setCookies]))
}

/** A session as the provider lists it. */
const ListedSession = z.object({
  id: z.string(),
  token: z.string(),
  createdAt: z.coerce.date(),
  updatedAt: z.coerce.date(),
  userAgent: z.string().nullish(),
  ipAddress: z.string().nullish(),
})
type ListedSession = z.infer<typeof ListedSession>

/** Null when the provider does not show them. */
async function listSessions(
  deps: PageDeps,
  request: Request,
): Promise<{ readonly answer: ProviderAnswer; readonly sessions: readonly ListedSession[] | null }> {
  const answer = await askProvider(deps, request, 'GET', '/list-sessions')
  const listed = z.array(ListedSession).safeParse(answer.body)
  return { answer, sessions: isDone(answer) && listed.success ? listed.data : null }
}

/** This session first, then the newest. */
function shown(sessions: readonly ListedSession[], currentId: string | null): SessionView[] {
  return sessions
    .map((session) => ({
      id: session.id,
      isCurrent: session.id === currentId,
      device: deviceOf(session.userAgent ?? null),
      address: session.ipAddress || null,
      signedInAtMs: session.createdAt.getTime(),
      renewedAtMs: session.updatedAt.getTime(),
    }))
    .sort((a, b) => Number(b.isCurrent) - Number(a.isCurrent) || b.signedInAtMs - a.signedInAtMs)
    .slice(0, SESSIONS_SHOWN_MAX)
}
