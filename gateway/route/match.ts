/**
 * Which route a request meets: own paths first, then the most specific pattern.
 * A path that a lenient server could read as another is let through only if every reading meets the same route (SECURITY rule 4).
 */

import { type Access, Refusal, type RequestHead, type Route, type RouteMatch } from '../model.ts'
import { isOwnPath, type RouteTable } from '../snapshot.ts'

/** The request is for one of the gateway's own paths. */
export const OWN: unique symbol = Symbol('own')

const AMBIGUOUS = Object.freeze(new Refusal('target.ambiguous'))
const UNLISTED = Object.freeze(new Refusal('route.unlisted'))
const DENIED = Object.freeze(new Refusal('route.denied'))

type Found = ReturnType<RouteTable['find']>

export function matchRoute(routes: RouteTable, head: RequestHead): RouteMatch | typeof OWN | Refusal {
  const { path, readings } = head.target
  const isOwnHere = routes.isOwn ?? isOwnPath
  const isOwn = isOwnHere(path)
  for (const reading of readings) if (isOwnHere(reading) !== isOwn) return AMBIGUOUS
  if (isOwn) return OWN

  const found = routes.find(path)
  const isExact = found?.route.upstream?.isPathExact === true
  const isPlain = readings.length === 0 && !routes.isCaseMixed && !path.includes('%')
  if (!isExact && !isPlain && !isOneRoute(routes, head, found)) return AMBIGUOUS

  if (found === null) return UNLISTED
  const access = accessOf(found.route, head)
  if (access?.kind === 'deny') return DENIED
  return { route: found.route, params: found.params, access }
}

/** What a route asks of a request's method; null when the policy does not list it. A WebSocket upgrade counts as a write. */
function accessOf(route: Route, head: RequestHead): Access | null {
  const { access } = route
  const isRead = !head.isUpgrade && (head.method === 'GET' || head.method === 'HEAD')
  const named = access.get(head.isUpgrade ? 'websocket' : head.method)
  return named ?? (isRead ? undefined : access.get('write')) ?? access.get('*') ?? null
}

function isOneRoute(routes: RouteTable, head: RequestHead, found: Found): boolean {
  const { path, readings } = head.target
  if (!isSame(head, found, routes.find(path, true))) return false
  const folded = path.toLowerCase() // looked up just now: the lenient look-up folds case by itself
  for (const reading of readings) {
    if (reading === folded) continue
    // An empty reading is one that no route can meet: a server that reads it so would leave our tree.
    if (reading === '' || !isSame(head, found, routes.find(reading, true))) return false
  }
  return true
}

function isSame(head: RequestHead, found: Found, other: Found): boolean {
  const route = found?.route ?? null
  if (other === null || route === null || other.route !== route)
    return isNothing(head, route) && isNothing(head, other?.route ?? null)
  if (!hasCondition(route)) return true
  for (const name in found!.params) {
    if (found!.params[name]!.toLowerCase() !== other.params[name]!.toLowerCase()) return false
  }
  return true
}

/** Unlisted and denied are one answer, so that an odd spelling tells nobody which of the two a path is. */
function isNothing(head: RequestHead, route: Route | null): boolean {
  return route === null || accessOf(route, head)?.kind === 'deny'
}

/** A condition may read the parameters, so all readings must agree on them too. */
function hasCondition(route: Route): boolean {
  for (const access of route.access.values()) if (access.kind === 'require' && access.when !== null) return true
  return false
}
