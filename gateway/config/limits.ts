/** Compiles what a route limits: its own limits, and those of `defaults` unless it says `none`. */

import type { AccessByMethod, Limit } from '../rules.ts'
import { isAllDenied } from './access.ts'
import type { PolicyConfig } from './compile.ts'
import type { Path, Trouble } from './issues.ts'
import type { RouteConfig } from './route-schema.ts'
import type { LimitConfig } from './units.ts'

type Report = (path: Path, trouble: Trouble) => void

/**
 * A limit of `defaults` is counted over all routes together, so all of them name one counter. The same limit on a route would
 * never be the one that refuses.
 */
export function compileLimits(pattern: string, { limit }: RouteConfig, { defaults }: PolicyConfig): readonly Limit[] {
  if (limit === null) return []
  const inherited = new Set(defaults.limit.map(({ text }) => text))
  const own = (limit ?? []).filter(({ text }) => !inherited.has(text))
  return [
    ...defaults.limit.map((one) => compileLimit('defaults', one)),
    ...own.map((one) => compileLimit(pattern, one)),
  ]
}

function compileLimit(scope: string, { text, per, rate, connectionsMax }: LimitConfig): Limit {
  const id = `${scope} ${text}`
  if (rate !== null) return Object.freeze({ kind: 'rate', id, per, rule: Object.freeze(rate), text })
  return Object.freeze({ kind: 'connections', id, per, max: connectionsMax!, text })
}

export function checkDefaultLimits(policy: PolicyConfig, report: Report): void {
  checkList(['defaults', 'limit'], policy.defaults.limit, policy, report)
}

export function checkRouteLimits(
  path: Path,
  { limit }: RouteConfig,
  access: AccessByMethod,
  policy: PolicyConfig,
  report: Report,
  warn: Report,
): void {
  const own = limit ?? []
  const place = [...path, 'limit']
  checkList(place, own, policy, report)
  if (own.length === 0) return
  if (isAllDenied(access)) {
    warn(place, {
      message: 'nobody is let in here, so there is nothing to limit',
      cure: 'remove the limit, or write `access:`',
    })
    return
  }
  const inherited = new Set(policy.defaults.limit.map(({ text }) => text))
  const isPublic = [...access.values()].some(({ kind }) => kind === 'public')
  for (const [at, { text, per }] of own.entries()) {
    if (inherited.has(text)) {
      warn([...place, at], {
        message: `\`${text}\` is in \`defaults\` already, where it counts all routes together`,
        cure: 'remove it here, or write a lower one',
      })
    }
    if (per === 'user' && isPublic) {
      warn([...place, at], {
        message: 'on a public route nobody is known, so this limit counts by client address',
        cure: 'write `per ip`, or `access: optional` to know those who are signed in',
      })
    }
    if (per === 'key' && isPublic) {
      warn([...place, at], {
        message: 'on a public route no key is read, so this limit counts nothing there',
        cure: 'write `per ip`, or `access: { with: key }`',
      })
    }
  }
}

function checkList(place: Path, limits: readonly LimitConfig[], policy: PolicyConfig, report: Report): void {
  const seen = new Set<string>()
  for (const [at, { text, per }] of limits.entries()) {
    if (seen.has(text)) report([...place, at], { message: `\`${text}\` stands twice`, cure: 'remove one of them' })
    seen.add(text)
    if (per === 'key' && policy.keys === undefined) {
      report([...place, at], {
        message: '`per key` counts nothing: no API keys are accepted, for `keys` is absent',
        cure: 'add `keys: {}`, or write `per user` or `per ip`',
      })
    }
  }
}

/**
 * Why a runtime without counters that all of its instances share cannot serve these limits; null when it can, or when the
 * policy says that it may do so approximately.
 */
export function unsharedFault({ defaults, routes, limits }: PolicyConfig): string | null {
  const all = [
    ...defaults.limit.map(({ text, rate }) => ({ where: 'defaults.limit', text, rate })),
    ...Object.entries(routes).flatMap(([pattern, { limit }]) =>
      (limit ?? []).map(({ text, rate }) => ({ where: `routes.${pattern}.limit`, text, rate })),
    ),
  ]
  const connections = all.find(({ rate }) => rate === null)
  if (connections !== undefined) {
    return `${connections.where}: \`${connections.text}\` cannot be kept on Workers, which do not know what is open elsewhere: remove it from the policy you deploy there`
  }
  const [first] = all
  if (first === undefined || limits.approximate) return null
  return `${first.where}: \`${first.text}\` cannot be counted exactly on Workers, where each isolate counts by itself: write \`limits: { approximate: true }\` if that will do, or remove the limits`
}
