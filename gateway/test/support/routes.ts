/** Routes and request heads for tests of the route table: only what a test is about is written in it. */

import { parseTarget } from '../../http/target.ts'
import { Refusal, type RequestHead } from '../../model.ts'
import { type CompiledRoutes, compileRoutes, type RouteConflict } from '../../route/compile.ts'
import { matchRoute, OWN } from '../../route/match.ts'
import { type Pattern, parsePattern } from '../../route/pattern.ts'
import type { Access, Check, Route, Upstream } from '../../rules.ts'
import type { RouteTable } from '../../snapshot.ts'

const LOGIN: Access = { kind: 'login' }
export const OWN_HOST = { scheme: 'http', authority: 'books.test' } as const

export function aPattern(text: string): Pattern {
  const pattern = parsePattern(text, OWN_HOST)
  if ('message' in pattern) throw new Error(`${text}: ${pattern.message}`)
  return pattern
}

export function aRoute(text: string, more: Partial<Route> = {}): Route {
  return {
    id: text,
    place: 'gateway.yaml:1',
    access: new Map([['*', LOGIN]]),
    proposed: null,
    upstream: null,
    prefixSwap: null,
    isEncodedSlashKept: false,
    limits: [],
    cors: null,
    bodyBytesMax: 1,
    timeouts: { connectMs: 1, firstByteMs: 1, idleMs: 1, totalMs: null },
    allowRequestHeaders: new Set(),
    allowResponseHeaders: new Set(),
    requestEdits: null,
    responseEdits: null,
    isServiceWorkerAllowed: false,
    isSharedCacheAllowed: false,
    ...more,
  }
}

export function anUpstream(more: Partial<Upstream> = {}): Upstream {
  return {
    id: 'up',
    servers: [{ origin: 'http://127.0.0.1:1', weight: 1 }],
    identity: { preset: 'none', fields: [] },
    isAsserted: false,
    isPathExact: false,
    host: 'public',
    health: null,
    ejection: null,
    retryPercentMax: 20,
    connectionsMax: 1024,
    queueMax: 1024,
    connectMs: 1,
    ...more,
  }
}

export function requiring(...checks: readonly Check[]): Access {
  return { kind: 'require', needsPrincipal: true, checks }
}

/** Routes by pattern, or as they are. */
export function compiled(...routes: readonly (string | Route)[]) {
  const entries = routes.map((one) => (typeof one === 'string' ? aRoute(one) : one))
  return compileRoutes(
    entries.map((route) => ({ pattern: aPattern(route.id), route })),
    OWN_HOST,
  )
}

export function table(...routes: readonly (string | Route)[]): CompiledRoutes {
  const found = compiled(...routes)
  if ('conflicts' in found) throw new Error(found.conflicts[0]!.message)
  return found
}

export function conflicts(...texts: readonly string[]): readonly RouteConflict[] {
  const found = compiled(...texts)
  return 'conflicts' in found ? found.conflicts : []
}

/** The route a path meets on the origin's own host, as a plain client spells it. */
export function find(routes: RouteTable, path: string, authority: string = OWN_HOST.authority) {
  return routes.find(authority, path)
}

export function aHead(text: string, more: Partial<RequestHead> = {}, authority: string = OWN_HOST.authority) {
  const target = parseTarget(text, true)
  if (target instanceof Refusal) throw new Error(`${text}: ${target.reason}`)
  const head: RequestHead = {
    requestId: 'r',
    receivedAtMs: 0,
    method: 'GET',
    target: { scheme: OWN_HOST.scheme, authority, ...target },
    httpVersion: '1.1',
    headers: [],
    names: [],
    droppedHeaders: 0,
    clientAddress: '127.0.0.1',
    peerAddress: '127.0.0.1',
    isUpgrade: false,
    isNavigation: false,
    bodyBytes: 0,
    authorization: null,
    sessionCookie: null,
    apiKey: null,
    origin: null,
    fetchSite: null,
    preflightFor: null,
    ...more,
  }
  return head
}

/** The route's pattern, `own`, or why not. */
export function outcome(routes: RouteTable, head: RequestHead): string {
  const match = matchRoute(routes, head)
  if (match === OWN) return 'own'
  return match instanceof Refusal ? match.reason : match.route.id
}
