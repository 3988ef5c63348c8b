/**
 * Which route a request meets: own paths first, then the most specific pattern.
 * A path that a lenient server could read as another is let through only if every reading meets the same route (SECURITY rule 4).
 */

import { holdsEncodedSlash } from '../http/target.ts'
import { Refusal, type RequestHead, type RouteMatch } from '../model.ts'
import type { Access, Requirement, Route } from '../rules.ts'
import type { RouteTable } from '../snapshot.ts'
import { foldCase } from './pattern.ts'

/** The request is for one of the gateway's own paths. */
export const OWN: unique symbol = Symbol('own')

const ENCODED_SEPARATOR = Object.freeze(new Refusal('target.encoded-separator'))
const AMBIGUOUS = Object.freeze(new Refusal('target.ambiguous'))
const UNLISTED = Object.freeze(new Refusal('route.unlisted'))
const DENIED = Object.freeze(new Refusal('route.denied'))

type Found = ReturnType<RouteTable['find']>

export function matchRoute(routes: RouteTable, head: RequestHead): RouteMatch | typeof OWN | Refusal {
  const { authority, path, readings } = head.target
  // As if it were kept nowhere: refused before it is said whether there is such a path.
  if (holdsEncodedSlash(path) && !isEncodedSlashKept(routes, head)) return ENCODED_SEPARATOR
  const isOwn = routes.isOwn(authority, path)
  for (const reading of readings) if (routes.isOwn(authority, reading) !== isOwn) return AMBIGUOUS
  if (isOwn) return OWN

  const found = routes.find(authority, path)
  const isExact = found?.route.upstream?.isPathExact === true
  const isPlain = readings.length === 0 && !routes.isCaseMixed && !path.includes('%')
  if (!isExact && !isPlain && !isOneRoute(routes, head, found)) return AMBIGUOUS

  if (found === null) return UNLISTED
  const access = accessOf(found.route, head)
  if (access?.kind === 'deny') return DENIED
  return { route: found.route, params: found.params, access }
}

/** What a route asks of a request's method; null when the policy does not list it. A WebSocket upgrade counts as a write. */
export function accessOf(route: Route, head: RequestHead): Access | null {
  const { access } = route
  // A preflight asks about another method, and its answer must not tell more than that method's would.
  const method = route.cors === null ? head.method : (head.preflightFor ?? head.method)
  const isRead = !head.isUpgrade && (method === 'GET' || method === 'HEAD')
  const named = access.get(head.isUpgrade ? 'websocket' : method)
  return named ?? (isRead ? undefined : access.get('write')) ?? access.get('*') ?? null
}

/** Our own paths hold none, and a path that does not exist keeps none. */
function isEncodedSlashKept(routes: RouteTable, head: RequestHead): boolean {
  const { authority, path } = head.target
  if (routes.isOwn(authority, path)) return false
  const route = routes.find(authority, path)?.route ?? null
  return route?.isEncodedSlashKept === true && !isNothing(head, route)
}

function isOneRoute(routes: RouteTable, head: RequestHead, found: Found): boolean {
  const { authority, path, readings } = head.target
  if (!isSame(head, found, routes.find(authority, path, true))) return false
  const folded = path.toLowerCase() // looked up just now: the lenient look-up folds case by itself
  for (const reading of readings) {
    if (reading === folded) continue
    // An empty reading is one that no route can meet: a server that reads it so would leave our tree.
    if (reading === '' || !isSame(head, found, routes.find(authority, reading, true))) return false
  }
  return true
}

function isSame(head: RequestHead, found: Found, other: Found): boolean {
  const route = found?.route ?? null
  if (other === null || route === null || other.route !== route)
    return isNothing(head, route) && isNothing(head, other?.route ?? null)
  if (!hasCondition(route)) return true
  for (const name in found!.params) {
    if (foldCase(found!.params[name]!) !== foldCase(other.params[name]!)) return false
  }
  return true
}

/** Unlisted and denied are one answer, so that an odd spelling tells nobody which of the two a path is. */
function isNothing(head: RequestHead, route: Route | null): boolean {
  return route === null || accessOf(route, head)?.kind === 'deny'
}

/** A condition may read the parameters, so all readings must agree on them too. */
function hasCondition(route: Route): boolean {
  for (const access of route.access.values()) if (access.kind === 'require' && readsConditions(access)) return true
  return false
}

function readsConditions({ checks }: Requirement): boolean {
  return checks.some((check) => {
    if (check.kind === 'any') return check.of.some(readsConditions)
    return check.kind === 'when' || (check.kind === 'not' && readsConditions(check.of))
  })
}
