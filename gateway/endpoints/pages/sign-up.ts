/** The sign-up page, or where sign-up is not open, a page that says so and offers no form. */

import { html } from 'hono/html'
import { alertNote, field, type Html, layout, returnField, withReturn } from './layout.ts'

export interface SignUpView {
  readonly host: string
  readonly sealedReturn: string | null
  readonly name: string
  readonly email: string
  readonly alert: string | null
  readonly errors: {
    readonly name?: string | undefined
    readonly email?: string | undefined
    readonly password?: string | undefined
  }
}

export function signUpPage(view: SignUpView): Html {
  const { errors } = view
  const first = errors.name !== undefined ? 'name' : errors.email !== undefined ? 'email' : 'password'
  const hasErrors = errors.name !== undefined || errors.email !== undefined || errors.password !== undefined
  const focused = hasErrors ? first : 'name'
  return layout(
    { title: 'Create an account', host: view.host, isRefused: view.alert !== null || hasErrors },
    html`<h1>Create an account</h1>
${alertNote(view.alert)}
<form class="stack" method="post" action="/_postern/sign-up">
${returnField(view.sealedReturn)}
${field({ name: 'name', label: 'Name', type: 'text', autocomplete: 'name', lengthMax: 100, value: view.name, error: errors.name, isFocused: focused === 'name' })}
${field({ name: 'email', label: 'E-mail', type: 'email', autocomplete: 'username', lengthMax: 254, value: view.email, error: errors.email, isFocused: focused === 'email' })}
${field({ name: 'password', label: 'Password', type: 'password', autocomplete: 'new-password', lengthMin: 8, lengthMax: 128, hint: 'At least 8 characters. A few unrelated words work well.', error: errors.password, isFocused: focused === 'password' })}
<button type="submit">Create account</button>
</form>
<p class="under">Have an account? <a href="${withReturn('/_postern/sign-in', view.sealedReturn)}">Sign in</a></p>`,
  )
}

export function signUpClosedPage(view: {
  readonly host: string
  readonly signup: 'invite' | 'closed'
  readonly sealedReturn: string | null
}): Html {
  const isByInvitation = view.signup === 'invite'
  return layout(
    { title: isByInvitation ? 'Accounts are by invitation' : 'Sign-up is closed', host: view.host },
    html`<h1>${isByInvitation ? 'Accounts are by invitation' : 'Sign-up is closed'}</h1>
<p class="quiet">${
      isByInvitation
        ? html`The people who run ${view.host} make the accounts here. Ask them for one.`
        : html`No new accounts are made on ${view.host} at the moment.`
    }</p>
<p class="under">Have an account? <a href="${withReturn('/_postern/sign-in', view.sealedReturn)}">Sign in</a></p>`,
  )
}
