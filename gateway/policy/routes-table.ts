/** The routes of a policy as people read them: most specific first, who may do what in plain words, and where it stands. */

import type { Route } from '../rules.ts'
import { describeAccess, describeLimits, describeRewrite, methodGroups } from './describe.ts'

export interface RouteRow {
  readonly pattern: string
  readonly place: string
  readonly access: readonly { readonly methods: string; readonly access: string }[]
  /** What stands beside `access` and is only reported. */
  readonly proposed: readonly { readonly methods: string; readonly access: string }[]
  readonly upstream: string | null
  readonly rewrite: string | null
  readonly limits: string
}

export function routeRows(routes: readonly Route[]): readonly RouteRow[] {
  return routes.toSorted((a, b) => compareText(sortKey(a.id), sortKey(b.id))).map(rowOf)
}

function rowOf(route: Route): RouteRow {
  const words = (access: Route['access']) =>
    methodGroups(access).map((group) => ({ methods: group.label, access: describeAccess(group.access) }))
  return {
    pattern: route.id,
    place: route.place,
    access: words(route.access),
    proposed: route.proposed === null ? [] : words(route.proposed),
    upstream: route.upstream?.id ?? null,
    rewrite: describeRewrite(route),
    limits: describeLimits(route.limits),
  }
}

/**
 * A text that sorts a pattern before every one that matches more: literals before parameters, and those before the end of a
 * `/**`; hosts by name before hosts by pattern. The signs in front sort as 0 < 1 < 2 at each step.
 */
function sortKey(pattern: string): string {
  const slash = pattern.indexOf('/')
  const host = pattern.slice(0, slash)
  const steps = pattern.slice(slash + 1).split('/')
  const step = (segment: string) => {
    if (segment === '**') return '3'
    return segment === '*' || segment.startsWith(':') ? '2' : `1${segment}`
  }
  return [host.startsWith('*') ? `1${host}` : `0${host}`, ...steps.map(step)].join('\0')
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
