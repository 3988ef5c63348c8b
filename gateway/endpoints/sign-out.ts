/** Signing out by form: the session ends, its cookie goes, and what this browser kept of the site is dropped. */

import { Refusal } from '../model.ts'
import { cookieHeaders, pageAnswer, refusalAnswer, seeOther } from './answers.ts'
import { hostOf, type PageDeps } from './deps.ts'
import { readForm } from './form.ts'
import { signedOutPage, signOutPage } from './pages/sign-out.ts'
import { askProvider, isDone, withRevocation } from './provider-call.ts'
import { displayName, visitorOf } from './visitor.ts'

/**
 * Proxied pages are `private, no-cache` and so may stand in the back/forward cache, from where the back button shows
 * them without a request. This makes a browser forget them (Clear Site Data §3.1).
 */
export const FORGET: readonly [string, string] = ['clear-site-data', '"cache"']

export async function showSignOut(deps: PageDeps, request: Request): Promise<Response> {
  const visitor = await visitorOf(deps, request)
  if (visitor instanceof Refusal) return refusalAnswer(visitor, request, deps.origin)
  const { principal, setCookies } = visitor
  const host = hostOf(deps)
  if (principal === null) return pageAnswer(200, signedOutPage({ host }), cookieHeaders(setCookies))
  const page = signOutPage({ host, who: displayName(principal), alert: null })
  return pageAnswer(200, page, cookieHeaders(setCookies))
}

export async function signOut(deps: PageDeps, request: Request): Promise<Response> {
  const fields = await readForm(deps.origin, request)
  if (fields instanceof Refusal) return refusalAnswer(fields, request, deps.origin)
  return endThisSession(deps, request)
}

/** Ends the session of a request whose form has been read. Says "signed out" only when it is so. */
export async function endThisSession(deps: PageDeps, request: Request): Promise<Response> {
  const answer = await askProvider(deps, request, 'POST', '/sign-out')
  const visitor = await visitorOf(deps, request)
  if (visitor instanceof Refusal) return refusalAnswer(visitor, request, deps.origin)
  if (visitor.principal !== null) {
    const alert = 'That does not work right now, and you are still signed in. Try again in a moment.'
    return pageAnswer(503, signOutPage({ host: hostOf(deps), who: displayName(visitor.principal), alert }))
  }
  const setCookies = isDone(answer) && answer.setCookies.length > 0 ? answer.setCookies : visitor.setCookies
  return withRevocation(goodbye(setCookies), answer)
}

/** To the page that says it; with GET, so that going back and forth repeats nothing. */
export function goodbye(setCookies: readonly string[]): Response {
  const headers = cookieHeaders(setCookies)
  headers.set(...FORGET)
  return seeOther('/_postern/sign-out', headers)
}
