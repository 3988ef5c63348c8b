/**
 * What no test of a policy touches: routes, what they ask of each group of methods, and for each check a caller who meets it
 * and one who does not. A check counts only where it was really asked, after all before it had been met.
 */

import { ask } from '../authorize/authorize.ts'
import type { Outcome, Principal } from '../model.ts'
import type { Access, Check, PolicyFacts, Requirement, Route } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { describeCheck, describeRequirement, isImplied, methodGroups } from './describe.ts'
import type { Simulation } from './simulate.ts'

export interface CoveragePoint {
  readonly pattern: string
  readonly place: string
  /** `write: role editor, refused`. */
  readonly branch: string
  readonly isCovered: boolean
}

export interface Coverage {
  readonly points: readonly CoveragePoint[]
  readonly covered: number
  /** Of 100, rounded down, so that 100 is all of them; 100 where there is nothing to cover. */
  readonly percent: number
  readonly routes: number
  readonly routesTouched: number
}

/** Points by the access that they are of, and then by the words of the branch. */
type Seen = Map<Access, Set<string>>

const [ALLOWED, REFUSED] = ['a caller who is let in', 'a caller who is refused'] as const
const NOBODY_REFUSED = 'nobody is refused'

export function coverageOf(snapshot: Snapshot, simulations: readonly Simulation[]): Coverage {
  const seen: Seen = new Map()
  for (const { outcome } of simulations) note(snapshot, outcome, seen)
  const routes = snapshot.routes.all ?? []
  const points = routes.flatMap((route) => pointsOf(route, seen))
  const covered = points.filter(({ isCovered }) => isCovered).length
  const touched = routes.filter((route) => [...route.access.values()].some((access) => seen.has(access)))
  return {
    points,
    covered,
    percent: points.length === 0 ? 100 : Math.floor((100 * covered) / points.length),
    routes: routes.length,
    routesTouched: touched.length,
  }
}

function pointsOf(route: Route, seen: Seen): readonly CoveragePoint[] {
  return methodGroups(route.access).flatMap(({ label, access }) =>
    branchesOf(access).map((branch) => ({
      pattern: route.id,
      place: route.place,
      branch: `${label}: ${branch}`,
      isCovered: seen.get(access)?.has(branch) === true,
    })),
  )
}

function branchesOf(access: Access): readonly string[] {
  switch (access.kind) {
    case 'deny':
      return [REFUSED]
    case 'public':
    case 'optional':
      return [ALLOWED]
    case 'login':
      return [ALLOWED, REFUSED]
    case 'require': {
      const asked = access.checks.filter((check) => !isImplied(check))
      const branches = asked.flatMap((check) => [...waysToMeet(check), ...(isEveryKind(check) ? [] : [unmetBy(check)])])
      return [ALLOWED, ...(access.needsPrincipal ? [NOBODY_REFUSED] : []), ...branches]
    }
  }
}

/** Of every kind of credential, no caller comes with another. */
function isEveryKind(check: Check): boolean {
  return check.kind === 'with' && (['session', 'token', 'key'] as const).every((kind) => check.anyOf.includes(kind))
}

function metBy(check: Check): string {
  return `${describeCheck(check)}, met`
}

function unmetBy(check: Check): string {
  return `${describeCheck(check)}, not met`
}

function waysToMeet(check: Check): readonly string[] {
  return check.kind === 'any' ? check.of.map(alternative) : [metBy(check)]
}

function alternative(one: Requirement): string {
  return `let in by (${describeRequirement(one)})`
}

function note(snapshot: Snapshot, outcome: Outcome, seen: Seen): void {
  if (outcome.kind === 'own' || outcome.kind === 'preflight') return
  const { head, match } = outcome
  const mark = (access: Access, branch: string): void => {
    const branches = seen.get(access)
    if (branches === undefined) seen.set(access, new Set([branch]))
    else branches.add(branch)
  }
  if (outcome.kind === 'forward') mark(outcome.match.access!, ALLOWED)
  if (outcome.kind === 'refuse' && outcome.refusal.reason === 'route.denied' && head !== null) {
    const denied = snapshot.routes.find(head.target.authority, head.target.path)?.route ?? null
    for (const access of denied?.access.values() ?? []) if (access.kind === 'deny') mark(access, REFUSED)
  }
  const access = match?.access ?? null
  if (match === null || head === null || access === null) return
  if (outcome.kind === 'refuse' && outcome.isAuthenticated && access.kind !== 'require') mark(access, REFUSED)
  const isAsked = outcome.kind === 'forward' || outcome.isAuthenticated
  if (access.kind !== 'require' || !isAsked) return
  const facts = { head, params: match.params }
  for (const branch of askedOf(access, outcome.principal, facts, snapshot.allowUnverifiedEmail)) mark(access, branch)
}

/** The branches one caller went through, in the order `authorize` asks. */
function askedOf(
  { checks, needsPrincipal }: Requirement,
  principal: Principal | null,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): readonly string[] {
  const branches: string[] = []
  const isMet = (check: Check) => ask(check, principal, facts, allowUnverifiedEmail) === true
  for (const check of checks) {
    if (principal === null && check.kind !== 'ip') return needsPrincipal ? [...branches, NOBODY_REFUSED] : branches
    if (!isMet(check)) return [...branches, unmetBy(check)]
    branches.push(metBy(check))
    if (check.kind === 'any') branches.push(...check.of.filter((one) => one.checks.every(isMet)).map(alternative))
  }
  return branches
}
