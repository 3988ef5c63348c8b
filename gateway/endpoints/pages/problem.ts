/** A page per problem code, for whoever follows the `type` link of an answer: what it means and what to do. Every code has one. */

import { html } from 'hono/html'
import { PROBLEMS, type ProblemCode } from '../../problem/catalogue.ts'
import { type Html, layout } from './layout.ts'

interface Advice {
  readonly means: string
  readonly todo: string
}

const ADVICE: Readonly<Record<ProblemCode, Advice>> = {
  'bad-request': {
    means: 'The request breaks a rule of HTTP, such as two Host lines, two lengths, or a form field given twice.',
    todo: 'Send it again as one well-formed request. A client library does that by itself.',
  },
  'invalid-body': {
    means:
      'The body is not what this address takes: broken JSON, a field that is missing or unknown, or a wrong value.',
    todo: 'Read the detail of the answer: it names the field.',
  },
  'malformed-target': {
    means:
      'The address holds something two programs could read differently: a dot segment, an encoded slash or backslash, a control character, or a broken percent-escape.',
    todo: 'Write the path without them.',
  },
  'ambiguous-target': {
    means: 'The address has several readings that lead to differently protected places, so none of them was chosen.',
    todo: 'Write the path plainly: single slashes, the case of the original, no parameters after a semicolon.',
  },
  'ambiguous-credentials': {
    means: 'The request carries more than one credential of a kind, or two that speak for different people.',
    todo: 'Send exactly one: a session cookie or a token.',
  },
  'login-required': {
    means: 'This address is for people who are signed in, and the request does not show that you are.',
    todo: 'Sign in at /_postern/sign-in, or send a bearer token.',
  },
  'invalid-session': {
    means: 'The session cookie was not made by this gateway, or was changed on its way.',
    todo: 'Delete the cookies of this site and sign in again.',
  },
  'invalid-token': {
    means:
      'The token has expired, was meant for another service, was signed by someone else, or its session has ended.',
    todo: 'Get a new token and send it as "Authorization: Bearer".',
  },
  'invalid-key': {
    means: 'The API key is not one of this gateway, has expired, or was revoked with its owner or alone.',
    todo: 'Check the header and the whole key, or ask for a new one.',
  },
  'insufficient-user-authentication': {
    means: 'This place asks for a sign-in that is more recent, or that shows a second factor.',
    todo: 'Sign in again, with a second factor where the answer asks for one. Programs find what is missing in WWW-Authenticate.',
  },
  forbidden: {
    means: 'You are known, and this is not for you: a role, a scope or a condition is missing.',
    todo: 'Ask the people who run this site, and give them the request id of the answer.',
  },
  'fresh-login-required': {
    means: 'This is for a session whose person has signed in within the last fifteen minutes.',
    todo: 'Sign in again, or use an API key with the scope admin.',
  },
  'second-factor-required': {
    means: 'This is for a session that was begun with a second factor, and a password alone is one.',
    todo: 'Use an API key with the scope admin, or sign in with a second factor.',
  },
  'cross-site-request': {
    means: 'The request can change something and did not show that a page of this site sent it.',
    todo: 'Use the form on this site. A program that sends the session cookie also sends an Origin header equal to this site.',
  },
  'not-found': {
    means: 'There is nothing here, or nothing for you.',
    todo: 'Check the address.',
  },
  'method-not-allowed': {
    means: 'This address exists, and does not take this method.',
    todo: 'Use one of the methods in the Allow header of the answer.',
  },
  'request-timeout': {
    means: 'The request did not arrive whole in the time allowed.',
    todo: 'Send it again.',
  },
  'content-too-large': {
    means: 'The body is larger than this address takes.',
    todo: 'Send less at a time.',
  },
  'target-too-long': {
    means: 'The address is longer than the gateway reads.',
    todo: 'Shorten it; large input belongs in a body.',
  },
  'unsupported-media-type': {
    means: 'This address takes JSON alone.',
    todo: 'Send the body as application/json.',
  },
  'expectation-failed': {
    means: 'The Expect header asks for something other than 100-continue.',
    todo: 'Leave the header out.',
  },
  'misdirected-request': {
    means: 'The Host of the request is not one that this gateway serves.',
    todo: 'Use the public name of the site.',
  },
  'too-many-requests': {
    means: 'More came from you in a short time, or is open at once, than is allowed.',
    todo: 'Wait as long as the Retry-After header of the answer says.',
  },
  'headers-too-large': {
    means: 'The header fields together are larger than the gateway reads.',
    todo: 'Often these are cookies: delete those of this site and try again.',
  },
  'upstream-unreachable': {
    means: 'The application behind the gateway did not answer, or broke off.',
    todo: 'Try again in a moment. If it goes on, tell the people who run this site.',
  },
  'upstream-protocol-error': {
    means: 'The application behind the gateway answered with something that is not HTTP.',
    todo: 'Tell the people who run this site, and give them the request id of the answer.',
  },
  'upstream-busy': {
    means: 'The application behind the gateway has as much to do as it can take, so this request was not sent to it.',
    todo: 'Wait as long as the Retry-After header of the answer says, then try again.',
  },
  'upstream-down': {
    means: 'The application behind the gateway says of itself that it is not well, so this request was not sent to it.',
    todo: 'Try again in a moment. If it goes on, tell the people who run this site.',
  },
  'upstream-timeout': {
    means: 'The application behind the gateway stopped in the middle of its answer for longer than it may.',
    todo: 'Try again. A request that may not happen twice is better checked first.',
  },
  'upstream-connect-timeout': {
    means:
      'The application behind the gateway did not take the connection in time, so this request was not sent to it.',
    todo: 'Try again in a moment. If it goes on, tell the people who run this site.',
  },
  'upstream-first-byte-timeout': {
    means: 'The application behind the gateway took longer to begin its answer than it may.',
    todo: 'Try again. A request that may not happen twice is better checked first.',
  },
  'upstream-total-timeout': {
    means: 'The whole of this request took longer than it may.',
    todo: 'Ask for less at a time. A request that may not happen twice is better checked first.',
  },
  unavailable: {
    means: 'This site has as much to do as it can right now, or one of its machines is about to end. Nothing was done.',
    todo: 'Try again in a moment: the Retry-After header of the answer says when.',
  },
  'cannot-decide': {
    means: 'The gateway could not find out whether the request may pass, so it did not let it pass.',
    todo: 'Try again in a moment. If it goes on, tell the people who run this site.',
  },
}

export function isProblemCode(code: string): code is ProblemCode {
  return Object.hasOwn(PROBLEMS, code)
}

export function problemPage(view: { readonly host: string; readonly code: ProblemCode }): Html {
  const problem = PROBLEMS[view.code]
  const advice = ADVICE[view.code]
  return layout(
    { title: problem.title, host: view.host, isWide: true },
    html`<p class="code">${problem.status} ${view.code}</p>
<h1>${problem.title}</h1>
<section aria-labelledby="means"><h2 id="means">What it means</h2><p>${advice.means}</p></section>
<section aria-labelledby="todo"><h2 id="todo">What to do</h2><p>${advice.todo}</p></section>`,
  )
}
