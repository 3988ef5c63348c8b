/** What pages of other origins are told: only of origins that the route lists, never reflected (SECURITY rule 33; Fetch §3.2). */

import { listMembers } from '../http/header-list.ts'
import type { HeaderList, Preflight, RequestHead, RouteMatch } from '../model.ts'
import type { CorsRules, Route } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'

/** The answer to a preflight, before anybody is authenticated. What is not allowed gets no line, and the browser refuses. */
export function answerPreflight(snapshot: Snapshot, match: RouteMatch, head: RequestHead): Preflight {
  const headers = ['Cache-Control', 'no-store', 'X-Request-Id', head.requestId, ...permission(match, head)]
  headers.push('Vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers')
  return {
    kind: 'preflight',
    head,
    match,
    answer: { status: 204, headers: [...headers, ...snapshot.ownHeaders], body: '' },
  }
}

function permission({ route, access }: RouteMatch, head: RequestHead): HeaderList {
  const { cors } = route
  const method = head.preflightFor
  if (cors === null || method === null || access === null) return NOTHING
  if (cors.methods.length > 0 && !cors.methods.includes(method)) return NOTHING
  const asked = askedHeaders(head)
  if (asked === null || !asked.every((name) => cors.headers.includes(name) || SAFELISTED.has(name))) return NOTHING
  const origin = originLines(cors, head)
  if (origin.length === 0) return NOTHING
  const lines = [...origin, 'Access-Control-Allow-Methods', method, 'Access-Control-Max-Age', String(cors.maxAgeS)]
  if (asked.length > 0) lines.push('Access-Control-Allow-Headers', asked.join(', '))
  return lines
}

/**
 * Browsers name these only for a value out of the ordinary. Content-Type is not among them: it is named for the types that
 * no form can send, such as JSON, and those a route lists.
 */
const SAFELISTED: ReadonlySet<string> = new Set(['accept', 'accept-language', 'content-language'])

const NOTHING: HeaderList = Object.freeze([])

/** Lower-case names that the page wants to send; null when that cannot be read. */
function askedHeaders({ names, headers }: RequestHead): readonly string[] | null {
  const values = names.flatMap((name, at) => (name === 'access-control-request-headers' ? [headers[2 * at + 1]!] : []))
  const members = listMembers(values.join(','))
  return members === null ? null : members.map((member) => member.toLowerCase())
}

/** Lines of an answer, a refusal included, that let the page read it. */
export function corsLines(route: Route, head: RequestHead): HeaderList {
  const { cors } = route
  if (cors === null) return NOTHING
  const lines = originLines(cors, head)
  if (lines.length === 0 || cors.exposedHeaders.length === 0) return lines
  return [...lines, 'Access-Control-Expose-Headers', cors.exposedHeaders.join(', ')]
}

/** True when answers differ by who asks; one that is the same for every origin may be kept for all of them. */
export function variesByOrigin({ cors }: Route): boolean {
  return cors !== null && !cors.isAnyOrigin
}

function originLines(cors: CorsRules, head: RequestHead): HeaderList {
  if (cors.isAnyOrigin) return EVERY_ORIGIN
  if (head.origin === null || !cors.origins.has(head.origin)) return NOTHING
  const lines = ['Access-Control-Allow-Origin', head.origin]
  return cors.isWithCredentials ? [...lines, 'Access-Control-Allow-Credentials', 'true'] : lines
}

/** Never with credentials, whatever the rules say. */
const EVERY_ORIGIN: HeaderList = Object.freeze(['Access-Control-Allow-Origin', '*'])
