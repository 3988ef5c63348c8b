/** Signing in and signing up by form: the provider judges, ends the session that was here before, and every cookie it sets is passed on. */

import { Refusal } from '../model.ts'
import { cookieHeaders, pageAnswer, refusalAnswer, seeOther } from './answers.ts'
import { hostOf, type PageDeps } from './deps.ts'
import { errorsOf, readForm, SignInForm, SignUpForm, typed } from './form.ts'
import { withReturn } from './pages/layout.ts'
import { type SignInView, signedInPage, signInPage } from './pages/sign-in.ts'
import { type SignUpView, signUpClosedPage, signUpPage } from './pages/sign-up.ts'
import { stepUpPage } from './pages/step-up.ts'
import { askProvider, isDone, outageOf, type ProviderAnswer } from './provider-call.ts'
import { type WayBack, wayBack } from './return-target.ts'
import { isRemembered, stepUpOf } from './step-up.ts'
import { displayName, visitorIfKnown } from './visitor.ts'

export async function showSignIn(deps: PageDeps, request: Request): Promise<Response> {
  const back = await wayBackOf(deps, request)
  const { principal, setCookies } = await visitorIfKnown(deps, request)
  const again = new URL(request.url).searchParams.get('again')
  const stepUp = await stepUpOf(deps, principal, again, back.sealed)
  if (stepUp !== null) return pageAnswer(200, stepUpPage(stepUp), cookieHeaders(setCookies))
  const signedInAs = principal === null ? null : displayName(principal)
  return pageAnswer(200, signInPage({ ...signInView(deps, back), signedInAs }), cookieHeaders(setCookies))
}

export async function signIn(deps: PageDeps, request: Request): Promise<Response> {
  const fields = await readForm(deps.origin, request)
  if (fields instanceof Refusal) return refusalAnswer(fields, request, deps.origin)
  const view = { ...signInView(deps, await wayBack(deps, fields.return)), email: typed(fields, 'email') }
  const { principal } = await visitorIfKnown(deps, request)
  const stepUp = await stepUpOf(deps, principal, fields.again, view.sealedReturn)
  const page = (alert: string | null, errors: SignInView['errors']) => {
    if (stepUp === null) return signInPage({ ...view, alert, errors })
    return stepUpPage({ ...stepUp, alert, passwordError: errors.password })
  }
  const form = SignInForm.safeParse(fields)
  if (!form.success) return pageAnswer(422, page(null, errorsOf(form.error)))

  // For the same person or another: either is a sign-in, with a new session, and the one before it ends (SECURITY rule 15).
  const rememberMe = stepUp === null || isRemembered(deps, request)
  const answer = await askProvider(deps, request, 'POST', '/sign-in/email', { ...form.data, rememberMe })
  if (!isDone(answer)) {
    const { status, alert } = outageOf(answer) ?? { status: 422, alert: signInAlert(answer) }
    return pageAnswer(status, page(alert, {}), retryHeaders(answer))
  }
  return leadOn(deps, view.returnPath, answer)
}

export async function showSignUp(deps: PageDeps, request: Request): Promise<Response> {
  const back = await wayBackOf(deps, request)
  const { signup } = deps.provider
  if (signup !== 'open') {
    return pageAnswer(200, signUpClosedPage({ host: hostOf(deps), signup, sealedReturn: back.sealed }))
  }
  return pageAnswer(200, signUpPage(signUpView(deps, back)))
}

export async function signUp(deps: PageDeps, request: Request): Promise<Response> {
  const fields = await readForm(deps.origin, request)
  if (fields instanceof Refusal) return refusalAnswer(fields, request, deps.origin)
  const back = await wayBack(deps, fields.return)
  const { signup } = deps.provider
  if (signup !== 'open') {
    return pageAnswer(403, signUpClosedPage({ host: hostOf(deps), signup, sealedReturn: back.sealed }))
  }
  const view = { ...signUpView(deps, back), name: typed(fields, 'name'), email: typed(fields, 'email') }
  const form = SignUpForm.safeParse(fields)
  if (!form.success) return pageAnswer(422, signUpPage({ ...view, errors: errorsOf(form.error) }))

  const answer = await askProvider(deps, request, 'POST', '/sign-up/email', form.data)
  if (!isDone(answer)) {
    const outage = outageOf(answer)
    if (outage !== null) {
      return pageAnswer(outage.status, signUpPage({ ...view, alert: outage.alert }), retryHeaders(answer))
    }
    return pageAnswer(422, signUpPage({ ...view, ...signUpComplaint(answer) }))
  }
  // An account that was made without a session has to sign in first.
  if (answer.setCookies.length === 0) return seeOther(withReturn('/_postern/sign-in', back.sealed))
  return leadOn(deps, back.path, answer)
}

function leadOn(deps: PageDeps, path: string, answer: ProviderAnswer): Promise<Response> {
  return pageAnswer(200, signedInPage({ host: hostOf(deps), path }), cookieHeaders(answer.setCookies))
}

/** A suspension is told only to someone whose password was right; all else is one sentence, whichever of the two was wrong. */
function signInAlert(answer: ProviderAnswer): string {
  if (answer.code === 'BANNED_USER') return 'This account is suspended. Ask the people who run this site.'
  return 'That e-mail and password do not belong together here.'
}

function signUpComplaint(answer: ProviderAnswer): Pick<SignUpView, 'alert' | 'errors'> {
  const about = SIGN_UP_COMPLAINTS[answer.code ?? '']
  return about === undefined
    ? { alert: 'The account could not be made. Check what you typed and try again.', errors: {} }
    : { alert: null, errors: about }
}

const TAKEN = { email: 'There is an account with this e-mail already. Sign in instead.' }
const SIGN_UP_COMPLAINTS: Readonly<Record<string, SignUpView['errors']>> = {
  USER_ALREADY_EXISTS: TAKEN,
  USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL: TAKEN,
  INVALID_EMAIL: { email: 'Enter an e-mail address, such as name@example.com.' },
  PASSWORD_TOO_SHORT: { password: 'That password is too short.' },
  PASSWORD_TOO_LONG: { password: 'That password is too long.' },
}

async function wayBackOf(deps: PageDeps, request: Request): Promise<WayBack> {
  return wayBack(deps, new URL(request.url).searchParams.get('return'))
}

function signInView(deps: PageDeps, back: WayBack): SignInView {
  return {
    host: hostOf(deps),
    sealedReturn: back.sealed,
    returnPath: back.path,
    isSignupOpen: deps.provider.signup === 'open',
    signedInAs: null,
    email: '',
    alert: null,
    errors: {},
  }
}

function signUpView(deps: PageDeps, back: WayBack): SignUpView {
  return { host: hostOf(deps), sealedReturn: back.sealed, name: '', email: '', alert: null, errors: {} }
}

function retryHeaders(answer: ProviderAnswer): Headers {
  const headers = new Headers()
  if (answer.retryAfterS !== null) headers.set('retry-after', String(answer.retryAfterS))
  return headers
}
