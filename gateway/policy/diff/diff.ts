/**
 * What changes for requests when one policy takes another's place: a row for each kind of change, those that let somebody in first.
 * Sound: a request that comes out differently meets a pattern of a row, in one of the spellings that lenient servers give its path.
 */

import type { GatewayConfig } from '../../config/schema.ts'
import type { AccessByMethod, Route } from '../../rules.ts'
import type { Snapshot } from '../../snapshot.ts'
import { describeAccess } from '../describe.ts'
import { type Asked, askedOf, type Change, compareAsked, methodsOf, type Names, OTHER_METHODS } from './access.ts'
import { type ComparedPolicy, meetingsOf, regionText } from './regions.ts'
import { routeChanges } from './routes.ts'
import { settingChanges } from './settings.ts'

export interface DiffedPolicy {
  readonly config: GatewayConfig
  readonly snapshot: Snapshot
}

export interface DiffRow {
  readonly change: Change
  /** What differs: `access`, `upstream`, `limit`, ... or a setting of the whole file, such as `trust`. */
  readonly what: string
  /** `all methods`, `read`, `write`, `other methods`, or methods by name. */
  readonly methods: readonly string[]
  /** In plain words; empty for nothing. */
  readonly before: string
  readonly after: string
  /** Empty for a setting, which speaks for every request. */
  readonly patterns: readonly DiffPlace[]
}

export interface DiffPlace {
  /** Hosts and paths, `*` for each parameter. Of these, what more specific lines of either file match is theirs. */
  readonly pattern: string
  /** `gateway.yaml:12`, or null where that file has no line for it. */
  readonly before: string | null
  readonly after: string | null
}

export interface PolicyDiff {
  readonly rows: readonly DiffRow[]
}

const NOBODY = 'nobody'
const RANK: Readonly<Record<Change, number>> = { opened: 0, changed: 1, closed: 2 }

export function diffPolicies(before: DiffedPolicy, after: DiffedPolicy): PolicyDiff {
  return collect(before, after, (route) => route, settingChanges(before, after))
}

/** What `proposed` would change if it stood in the place of `access`. */
export function diffProposals(policy: DiffedPolicy): PolicyDiff {
  const accepted = new Map<Route, Route>()
  const accept = (route: Route): Route => {
    if (route.proposed === null) return route
    const known = accepted.get(route) ?? { ...route, access: route.proposed }
    accepted.set(route, known)
    return known
  }
  return collect(policy, policy, accept, [])
}

type RowPart = Omit<DiffRow, 'patterns'>

function collect(
  before: DiffedPolicy,
  after: DiffedPolicy,
  accept: (route: Route) => Route,
  settings: readonly RowPart[],
): PolicyDiff {
  const rows = new Map<string, RowPart & { readonly patterns: DiffPlace[] }>()
  const add = (part: RowPart, place: DiffPlace | null): void => {
    const key = JSON.stringify(part)
    const row = rows.get(key) ?? { ...part, patterns: [] }
    if (place !== null) row.patterns.push(place)
    rows.set(key, row)
  }
  for (const part of settings) add(part, null)
  const { found, isComplete } = meetingsOf(comparedOf(before), comparedOf(after))
  if (!isComplete) add(TOO_MANY, null)
  for (const meeting of found) {
    const was = meeting.before
    const is = meeting.after === null ? null : accept(meeting.after)
    const pattern = regionText(meeting.region)
    const place = { pattern, before: was?.place ?? null, after: is?.place ?? null }
    for (const part of compareMeeting(was, is, meeting.isOneLine)) add(part, place)
  }
  const sorted = [...rows.values()].map((row) => ({ ...row, patterns: row.patterns.toSorted(byPattern) }))
  return { rows: sorted.toSorted((a, b) => RANK[a.change] - RANK[b.change] || byText(textOf(a), textOf(b))) }
}

function comparedOf({ config, snapshot }: DiffedPolicy): ComparedPolicy {
  return { snapshot, patterns: Object.keys(config.routes) }
}

/** Said in place of what was not looked at, so that nobody takes silence for sameness. */
const TOO_MANY: RowPart = {
  change: 'changed',
  what: 'too many combinations',
  methods: ['all methods'],
  before: 'the two files mix in too many ways to compare them whole',
  after: 'compare them in smaller steps',
}

/**
 * Two lines that one request meets. Where somebody may come in with both, what happens then is compared too. `isOneLine`: they
 * match the same paths. Where they do not, spellings that servers read in two ways may be refused with one and not with the other.
 */
export function compareMeeting(before: Route | null, after: Route | null, isOneLine: boolean): readonly RowPart[] {
  const names = { before: paramsOf(before), after: paramsOf(after) }
  const groups = new Map<string, RowPart & { methods: string[] }>()
  const shared: string[] = []
  const quiet: string[] = []
  const all = methodsOf(before?.access ?? null, after?.access ?? null)
  for (const method of all) {
    const [was, is] = [askedOf(before?.access ?? null, method), askedOf(after?.access ?? null, method)]
    if (was !== null && is !== null) shared.push(method)
    const change = compareAsked(was, is, names)
    if (change === null && was !== null) quiet.push(method)
    if (change === null) continue
    const part = { change, what: 'access', before: wordsOf(was, before), after: wordsOf(is, after) }
    const key = JSON.stringify(part)
    const group = groups.get(key) ?? { ...part, methods: [] }
    group.methods.push(method)
    groups.set(key, group)
  }
  const rows: RowPart[] = [...groups.values()].map((group) => ({ ...group, methods: methodWords(group.methods, all) }))
  if (before !== null && after !== null && shared.length > 0) {
    const changes = routeChanges(before, after)
    for (const { what, before: was, after: is } of changes) {
      rows.push({ change: 'changed', what, methods: methodWords(shared, all), before: was, after: is })
    }
    if (!isOneLine && changes.length === 0 && quiet.length > 0) {
      const words = { before: `as \`${before.id}\` reads them`, after: `as \`${after.id}\` reads them` }
      rows.push({ change: 'changed', what: 'odd spellings', methods: methodWords(quiet, all), ...words })
    }
  }
  return [...rows, ...proposedRow(before, after, names)]
}

/** A proposal decides nothing, and still somebody reads what it says. */
function proposedRow(before: Route | null, after: Route | null, names: Names): readonly RowPart[] {
  const [was, is] = [before?.proposed ?? null, after?.proposed ?? null]
  if ((was === null && is === null) || before === after) return []
  const isSame = was !== null && is !== null && isSameAccess(was, is, names)
  if (isSame) return []
  return [
    {
      change: 'changed',
      what: 'proposed',
      methods: ['all methods'],
      before: proposalWords(was),
      after: proposalWords(is),
    },
  ]
}

function isSameAccess(a: AccessByMethod, b: AccessByMethod, names: Names): boolean {
  return methodsOf(a, b).every((method) => compareAsked(askedOf(a, method), askedOf(b, method), names) === null)
}

function proposalWords(access: AccessByMethod | null): string {
  if (access === null) return 'none'
  const words = new Set([...access.values()].map(describeAccess))
  return [...words].join('; ')
}

/** With the upstream, where only one side lets somebody in: that is where they get to. */
function wordsOf(asked: Asked, route: Route | null): string {
  if (asked === null) return NOBODY
  return `${describeAccess(asked)}, to ${route?.upstream?.id ?? 'no upstream'}`
}

/** Of each parameter the segment it is, counted in slashes. */
export function paramsOf(route: Route | null): ReadonlyMap<string, number> {
  const places = new Map<string, number>()
  const path = route === null ? '' : route.id.slice(route.id.indexOf('/') + 1)
  for (const [at, segment] of path.split('/').entries()) if (segment.startsWith(':')) places.set(segment.slice(1), at)
  return places
}

const READS = ['GET', 'HEAD']

function methodWords(methods: readonly string[], all: readonly string[]): readonly string[] {
  if (methods.length === all.length) return ['all methods']
  const words: string[] = []
  const writes = all.filter((method) => !READS.includes(method))
  let rest = methods
  for (const [word, of] of [
    ['read', READS],
    ['write', writes],
  ] as const) {
    if (!of.every((method) => rest.includes(method))) continue
    words.push(word)
    rest = rest.filter((method) => !of.includes(method))
  }
  return [...words, ...rest.map((method) => (method === OTHER_METHODS ? 'other methods' : method))]
}

function textOf({ what, patterns, methods, before, after }: DiffRow): string {
  return [patterns.length === 0 ? '' : patterns[0]!.pattern, what, ...methods, before, after].join('\0')
}

function byPattern(a: DiffPlace, b: DiffPlace): number {
  return byText(a.pattern, b.pattern)
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
