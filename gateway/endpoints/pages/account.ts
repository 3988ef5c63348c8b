/** The account page: who the gateway says you are, where you are signed in, and the ways to end that. */

import { html } from 'hono/html'
import type { Principal } from '../../model.ts'
import { alertNote, field, type Html, layout, statusNote } from './layout.ts'

export interface SessionView {
  readonly id: string
  readonly isCurrent: boolean
  readonly device: string
  readonly address: string | null
  readonly signedInAtMs: number
  /** When the session was last renewed by use; the provider writes it now and then, not on each request. */
  readonly renewedAtMs: number
}

export interface AccountView {
  readonly host: string
  readonly nowMs: number
  readonly principal: Principal
  /** Null when they cannot be asked for right now. */
  readonly sessions: readonly SessionView[] | null
  readonly alert: string | null
  readonly status: string | null
  readonly passwordErrors: { readonly current?: string | undefined; readonly next?: string | undefined }
}

export function accountPage(view: AccountView): Html {
  const { principal, passwordErrors } = view
  const hasPasswordErrors = passwordErrors.current !== undefined || passwordErrors.next !== undefined
  return layout(
    { title: 'Your account', host: view.host, isRefused: view.alert !== null || hasPasswordErrors, isWide: true },
    html`<div class="heading">
<h1>Your account</h1>
<form method="post" action="/_postern/sign-out"><button class="plain slight" type="submit">Sign out</button></form>
</div>
${alertNote(view.alert)}
${statusNote(view.status)}
<dl>
<dt>Name</dt><dd>${principal.name ?? '–'}</dd>
<dt>E-mail</dt><dd>${principal.email ?? '–'} ${
      principal.email === null
        ? ''
        : principal.emailVerified
          ? html`<span class="badge">verified</span>`
          : html`<span class="badge warn">not verified</span>`
    }</dd>
<dt>Roles</dt><dd>${principal.roles.length === 0 ? html`<span class="quiet">none</span>` : principal.roles.join(', ')}</dd>
<dt>User id</dt><dd class="code">${principal.subject}</dd>
</dl>
<section aria-labelledby="sessions">
<h2 id="sessions">Where you are signed in</h2>
${sessionList(view)}
<form class="actions" method="post" action="/_postern/account">
<input type="hidden" name="action" value="end-all">
<button class="plain" type="submit">Sign out everywhere</button>
</form>
</section>
<section aria-labelledby="password">
<h2 id="password">Password</h2>
<details${hasPasswordErrors ? html` open` : ''}>
<summary>Change password</summary>
<form class="stack" method="post" action="/_postern/account">
<input type="hidden" name="action" value="change-password">
<input type="text" name="username" value="${principal.email ?? ''}" autocomplete="username" hidden>
${field({ name: 'current', label: 'Current password', type: 'password', autocomplete: 'current-password', lengthMax: 128, error: passwordErrors.current, isFocused: passwordErrors.current !== undefined })}
${field({ name: 'next', label: 'New password', type: 'password', autocomplete: 'new-password', lengthMin: 8, lengthMax: 128, hint: 'At least 8 characters. Every other session ends.', error: passwordErrors.next, isFocused: passwordErrors.current === undefined && passwordErrors.next !== undefined })}
<button type="submit">Change password</button>
</form>
</details>
</section>`,
  )
}

function sessionList({ sessions, nowMs }: AccountView): Html {
  if (sessions === null) return html`<p class="quiet">Your sessions cannot be shown right now.</p>`
  return html`<ul class="plain">${sessions.map((session) => sessionItem(session, nowMs))}</ul>`
}

function sessionItem(session: SessionView, nowMs: number): Html {
  const isRenewed = session.renewedAtMs - session.signedInAtMs > 60_000
  return html`<li>
<div>
<p><strong>${session.device}</strong>${session.isCurrent ? html` <span class="badge">this session</span>` : ''}</p>
<p class="quiet small">${session.address === null ? '' : html`${session.address} · `}signed in ${moment(session.signedInAtMs, nowMs)}${
    isRenewed ? html`, last renewed ${moment(session.renewedAtMs, nowMs)}` : ''
  }</p>
</div>
${
  session.isCurrent
    ? ''
    : html`<form method="post" action="/_postern/account"><input type="hidden" name="action" value="end-one"><input type="hidden" name="session" value="${session.id}"><button class="plain slight" type="submit" aria-label="Sign out ${session.device}, signed in ${ago(session.signedInAtMs, nowMs)}">Sign out</button></form>`
}
</li>`
}

function moment(atMs: number, nowMs: number): Html {
  return html`<time datetime="${new Date(atMs).toISOString()}">${ago(atMs, nowMs)}</time>`
}

/** A past moment in everyday words; what lies ahead of our clock counts as now. */
export function ago(atMs: number, nowMs: number): string {
  const minutes = Math.floor(Math.max(0, nowMs - atMs) / 60_000)
  if (minutes < 1) return 'just now'
  if (minutes < 60) return counted(minutes, 'minute')
  if (minutes < 60 * 24) return counted(Math.floor(minutes / 60), 'hour')
  return counted(Math.floor(minutes / (60 * 24)), 'day')
}

function counted(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'} ago`
}

/** A browser and a system, as a person would name them. A guess from text anyone can write, so it is shown and never decided on. */
export function deviceOf(userAgent: string | null): string {
  if (userAgent === null || userAgent === '') return 'Unknown device'
  const browser = BROWSERS.find(([mark]) => userAgent.includes(mark))?.[1]
  const system = SYSTEMS.find(([mark]) => userAgent.includes(mark))?.[1]
  if (browser !== undefined && system !== undefined) return `${browser} on ${system}`
  return browser ?? system ?? userAgent.slice(0, 60)
}

/** First match wins: every browser also claims to be the ones below it. */
const BROWSERS: readonly (readonly [string, string])[] = [
  ['Edg', 'Edge'],
  ['OPR/', 'Opera'],
  ['SamsungBrowser/', 'Samsung Internet'],
  ['Firefox/', 'Firefox'],
  ['FxiOS/', 'Firefox'],
  ['CriOS/', 'Chrome'],
  ['HeadlessChrome/', 'Chrome'],
  ['Chrome/', 'Chrome'],
  ['Safari/', 'Safari'],
  ['curl/', 'curl'],
]

const SYSTEMS: readonly (readonly [string, string])[] = [
  ['iPhone', 'iPhone'],
  ['iPad', 'iPad'],
  ['Android', 'Android'],
  ['Windows', 'Windows'],
  ['Mac OS X', 'macOS'],
  ['CrOS', 'ChromeOS'],
  ['Linux', 'Linux'],
]
