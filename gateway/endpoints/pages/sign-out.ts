/** Signing out: a question, because only a form of ours may end a session, and the page that says it has ended. */

import { html } from 'hono/html'
import { alertNote, type Html, layout } from './layout.ts'

export function signOutPage(view: {
  readonly host: string
  readonly who: string
  readonly alert: string | null
}): Html {
  return layout(
    { title: 'Sign out', host: view.host, isRefused: view.alert !== null },
    html`<h1>Sign out?</h1>
<p class="quiet">You are signed in to ${view.host} as <strong>${view.who}</strong>.</p>
${alertNote(view.alert)}
<form class="stack" method="post" action="/_postern/sign-out">
<button type="submit">Sign out</button>
</form>
<p class="under"><a href="/_postern/account">Back to your account</a></p>`,
  )
}

export function signedOutPage(view: { readonly host: string }): Html {
  return layout(
    { title: 'Signed out', host: view.host },
    html`<h1>You are signed out</h1>
<p class="quiet">This browser holds no session on ${view.host}.</p>
<div class="stack"><a class="button" href="/_postern/sign-in">Sign in again</a></div>`,
  )
}
