/** The sign-in page for someone who is signed in and met a page that asks for more: what is missing, and what can be done about it. */

import { html } from 'hono/html'
import { alertNote, field, type Html, layout, returnField, withReturn } from './layout.ts'

/** `stand-in`: somebody else acts in the person's name, and neither a fresh sign-in nor a second factor is theirs to show. */
export type Missing = 'fresh' | 'mfa' | 'stand-in'

export interface StepUpView {
  readonly host: string
  readonly missing: Missing
  /** The seal that says why, carried through the form. */
  readonly sealedReason: string
  readonly sealedReturn: string | null
  readonly email: string
  readonly alert: string | null
  readonly passwordError: string | undefined
}

export function stepUpPage(view: StepUpView): Html {
  if (view.missing === 'fresh') return againPage(view)
  const { title, text } = view.missing === 'mfa' ? NO_FACTOR : STAND_IN
  return layout(
    { title, host: view.host },
    html`<h1>${title}</h1>
<div class="note"><p>You are signed in as <strong>${view.email}</strong>. ${text}</p></div>
<div class="stack"><a class="button" href="/">Go to the front page</a></div>
${somebodyElse(view)}`,
  )
}

const NO_FACTOR = {
  title: 'A second factor is needed',
  text: 'The page you asked for wants a second factor beside the password, and your account has none: in this version people sign in by password only, so signing in again does not help. Programs can come in with a token of an issuer whose entry in the policy names its second factors.',
}

const STAND_IN = {
  title: 'This person has to sign in',
  text: 'This session was opened in that name by an administrator. The page you asked for wants proof that the person is here, which such a session never has.',
}

function againPage(view: StepUpView): Html {
  const isRefused = view.alert !== null || view.passwordError !== undefined
  return layout(
    { title: 'Sign in again', host: view.host, isRefused },
    html`<h1>Sign in again</h1>
${alertNote(view.alert)}
<div class="note"><p>This page asks you to sign in again. You are signed in as <strong>${view.email}</strong>, but not recently enough for it.</p></div>
<form class="stack" method="post" action="/_postern/sign-in">
${returnField(view.sealedReturn)}
<input type="hidden" name="again" value="${view.sealedReason}">
${field({ name: 'email', label: 'E-mail', type: 'email', autocomplete: 'username', lengthMax: 254, value: view.email, isFixed: true })}
${field({ name: 'password', label: 'Password', type: 'password', autocomplete: 'current-password', lengthMax: 128, error: view.passwordError, isFocused: true })}
<button type="submit">Sign in again</button>
</form>
${somebodyElse(view)}`,
  )
}

function somebodyElse(view: StepUpView): Html {
  return html`<p class="under"><a href="${withReturn('/_postern/sign-in', view.sealedReturn)}">Sign in as someone else</a></p>`
}
