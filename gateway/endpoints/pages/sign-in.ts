/** The sign-in page, one form with a refusal that never says which of the two was wrong; and the page that leads on from it. */

import { html } from 'hono/html'
import { alertNote, field, type Html, layout, returnField, withReturn } from './layout.ts'

export interface SignInView {
  readonly host: string
  readonly sealedReturn: string | null
  readonly isSignupOpen: boolean
  /** Who is signed in already; signing in again ends that session. */
  readonly signedInAs: string | null
  /** Where "continue" leads for someone who is signed in already. */
  readonly returnPath: string
  readonly email: string
  readonly alert: string | null
  readonly errors: { readonly email?: string | undefined; readonly password?: string | undefined }
}

export function signInPage(view: SignInView): Html {
  const isRefused = view.alert !== null || view.errors.email !== undefined || view.errors.password !== undefined
  const isEmailFirst = view.email === '' || view.errors.email !== undefined
  return layout(
    { title: 'Sign in', host: view.host, isRefused },
    html`<h1>Sign in</h1>
${alertNote(view.alert)}
${
  view.signedInAs === null
    ? ''
    : html`<div class="note"><p>You are signed in as <strong>${view.signedInAs}</strong>. <a href="${view.returnPath}">Continue</a>, or sign in again below; that ends the session you have here.</p></div>`
}
<form class="stack" method="post" action="/_postern/sign-in">
${returnField(view.sealedReturn)}
${field({ name: 'email', label: 'E-mail', type: 'email', autocomplete: 'username', lengthMax: 254, value: view.email, error: view.errors.email, isFocused: isEmailFirst })}
${field({ name: 'password', label: 'Password', type: 'password', autocomplete: 'current-password', lengthMax: 128, error: view.errors.password, isFocused: !isEmailFirst })}
<button type="submit">Sign in</button>
</form>
${
  view.isSignupOpen
    ? html`<p class="under">New here? <a href="${withReturn('/_postern/sign-up', view.sealedReturn)}">Create an account</a></p>`
    : html`<p class="under">No account? Ask the people who run this site for one.</p>`
}`,
  )
}

/**
 * Leads to where someone wanted to go. A page and no redirect, because browsers hold each redirect that follows a form
 * against the `form-action` of the page it stood on: an application that sends its visitor on to another site would
 * never be reached, and the button would seem dead.
 */
export function signedInPage(view: { readonly host: string; readonly path: string }): Html {
  return layout(
    { title: 'Signed in', host: view.host, leadsTo: view.path },
    html`<h1>You are signed in</h1>
<div class="stack"><a class="button" href="${view.path}">Continue</a></div>`,
  )
}
