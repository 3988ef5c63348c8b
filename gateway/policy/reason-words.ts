/** Refusals that are not about who asks, in words for whoever wrote the policy or the request; with what each is about. */

import { nearest } from '../config/issues.ts'
import type { RequestHead } from '../model.ts'
import type { Reason } from '../problem/catalogue.ts'
import type { Route } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'

interface Words {
  readonly why: string
  readonly cure?: string
}

const SIGN_IN_AGAIN = 'sign in again'
const OWN_PAGE_SENDS =
  'send `Sec-Fetch-Site: same-origin`, as browsers do from our own pages, or an `Origin` of this gateway'

/** A reason without a row here is told by its name. */
export const REASON_WORDS: Partial<Readonly<Record<Reason, Words>>> = {
  'head.malformed': { why: 'a header line is malformed' },
  'head.duplicate-host': { why: 'there are two Host headers', cure: 'send one' },
  'head.missing-host': { why: 'there is no Host header', cure: 'send one' },
  'head.framing': { why: 'the length of the body can be read in two ways' },
  'head.too-large': { why: 'the head is larger than what is taken' },
  'method.refused': { why: 'this method is never forwarded', cure: 'use another method' },
  'method.unlisted': { why: 'the route lists nothing for this method' },
  'target.malformed': { why: 'the target is not a path' },
  'target.dot-segment': { why: 'the path holds a `.` or `..` segment', cure: 'write the path that it leads to' },
  'target.encoded-separator': {
    why: 'the path holds an encoded slash or backslash, which servers read in two ways',
    cure: 'write `/`; where `%2F` is data, the route says `encodedSlash: keep`',
  },
  'target.control': { why: 'the path holds a control character' },
  'target.fragment': { why: 'the path holds a `#`', cure: 'leave the fragment out: browsers never send it' },
  'target.authority-differs': { why: 'the target names another host than the Host header' },
  'target.too-long': { why: 'the target is longer than what is taken' },
  'target.ambiguous': {
    why: 'servers read this path in several ways, and they do not all meet this route',
    cure: 'write the plain path; an upstream that reads paths literally says `paths: exact`',
  },
  'authority.unknown': { why: 'this host is not served here' },
  'address.limit': { why: 'this address has used up its share (`admission.perAddress`)', cure: 'wait' },
  'route.limit': { why: 'a limit of the route is used up', cure: 'wait' },
  'route.connections': { why: 'as many requests are open as the route allows', cure: 'end one of them' },
  'route.unlisted': { why: 'no route names this path' },
  'route.denied': { why: 'its access is `deny`: the path answers as if it did not exist' },
  'service-worker.refused': {
    why: 'a browser wants to install a service worker',
    cure: 'say `serviceWorker: allow` on the route',
  },
  'credential.duplicate': { why: 'a credential stands twice', cure: 'send one' },
  'credential.subjects-differ': { why: 'two credentials speak for two people', cure: 'send one of them' },
  'credential.missing': { why: 'nobody is signed in', cure: 'sign in' },
  'credential.scheme': { why: 'the Authorization header is not `Bearer` with a token' },
  'credential.kind': { why: 'another kind of credential is asked for' },
  'credential.unavailable': { why: 'whether the credential is good could not be told' },
  'session.malformed': { why: 'the session cookie is not one of ours', cure: SIGN_IN_AGAIN },
  'session.unavailable': { why: 'the sessions could not be read' },
  'token.malformed': { why: 'the token is not one that this gateway can read' },
  'token.signature': { why: 'the token’s signature is not its issuer’s' },
  'token.algorithm': { why: 'the token is signed in a way that is not accepted' },
  'token.key-unknown': { why: 'the token is signed with a key that its issuer does not publish' },
  'token.type': { why: 'the token is not an access token' },
  'token.issuer': { why: 'nobody under `tokens` is the token’s issuer' },
  'token.audience': { why: 'the token is meant for somebody else (`aud`)' },
  'token.expired': { why: 'the token has expired', cure: 'get a new one' },
  'token.not-yet-valid': { why: 'the token is not valid yet' },
  'token.session-ended': { why: 'the token’s session has ended', cure: SIGN_IN_AGAIN },
  'token.revoked': { why: 'the token was revoked', cure: 'get a new one' },
  'token.claims': { why: 'the token lacks what `require` of its issuer’s entry names' },
  'token.inactive': { why: 'its issuer says that the token is not active' },
  'key.malformed': { why: 'the API key is not one of ours' },
  'key.unknown': { why: 'there is no such API key' },
  'key.ended': { why: 'the API key has ended', cure: 'make a new one: `postern keys create`' },
  'key.owner': { why: 'the API key’s owner may not come in' },
  'key.limit': { why: 'the API key’s own limit is used up', cure: 'wait' },
  'csrf.cross-site': { why: 'a session cookie came with a request that another site made', cure: OWN_PAGE_SENDS },
  'csrf.no-evidence': { why: 'a session cookie came with nothing that shows which page sent it', cure: OWN_PAGE_SENDS },
  'role.missing': { why: 'the caller has no role that is asked for' },
  'scope.missing': { why: 'the credential has no scope that is asked for' },
  'group.missing': { why: 'the caller is in no group that is asked for' },
  'email.missing': { why: 'the caller has no verified e-mail address that is asked for' },
  'claim.missing': { why: 'no claim of the caller has a value that is asked for' },
  'address.elsewhere': { why: 'the client’s address is in no network that is asked for' },
  'not.met': { why: 'the caller is of those that `not` keeps out, or that cannot be told' },
  'any.unmet': { why: 'none of the alternatives is met' },
  'condition.false': { why: 'the condition is not true' },
  'mfa.missing': { why: 'no second factor was shown' },
  'fresh.stale': { why: 'the sign-in is too long ago' },
  'body.too-large': { why: 'the body is longer than the route takes', cure: 'raise `body` on the route' },
  'gateway.busy': {
    why: 'the node or this address had as much under way as `admission` allows, or the node fell behind; its log says which',
    cure: 'try again; raise `admission.inFlight` or `admission.inFlightPerAddress`, or run more nodes',
  },
  'gateway.stopping': { why: 'the node ended while this was open', cure: 'try again' },
  'upstream.none': { why: 'the route names no upstream', cure: 'add `to:` to it' },
}

/** The origin’s own host, and those that patterns begin with. */
export function servedHosts({ admission, routes }: Snapshot): readonly string[] {
  const hosts = (routes.all ?? []).map(({ id }) => id.slice(0, id.indexOf('/'))).filter((host) => host !== '')
  return [...new Set([admission.authority, ...hosts])]
}

/** The route whose pattern this path misses by a little. */
export function nearestRoute({ routes }: Snapshot, { target }: RequestHead): Route | null {
  const asked = target.path.split('/')
  const byPath = new Map((routes.all ?? []).map((route) => [pathLike(route.id, asked), route]))
  const near = nearest(target.path, [...byPath.keys()])
  return near === null ? null : byPath.get(near)!
}

/** The path that a pattern matches and that is most like the one asked for. */
function pathLike(pattern: string, asked: readonly string[]): string {
  const segments = pattern.slice(pattern.indexOf('/')).split('/')
  const isTail = segments.at(-1) === '**'
  const own = isTail ? segments.slice(0, -1) : segments
  const filled = own.map((segment, at) => (/^(?::|\*$)/.test(segment) ? asked[at] || segment : segment))
  return [...filled, ...(isTail ? asked.slice(own.length) : [])].join('/') || '/'
}

/** Each way a server could read the path, with the route it would meet. */
export function ambiguityOf({ routes }: Snapshot, { target }: RequestHead): readonly string[] {
  const { authority, path } = target
  const folded = path.toLowerCase()
  const readings = new Set([...target.readings, ...(folded === path ? [] : [folded])])
  const met = (found: ReturnType<typeof routes.find>) =>
    found === null ? 'no route' : `${found.route.id} (${found.route.place})`
  return [
    `as it stands, \`${path}\` meets ${met(routes.find(authority, path))}`,
    ...[...readings].map((reading) =>
      reading === ''
        ? 'some servers would leave the tree of paths altogether'
        : `some servers read it as \`${reading}\`, which meets ${met(routes.find(authority, reading, true))}`,
    ),
  ]
}
