/** Runs the tests a policy carries, by the same decisions the gateway makes. */

import { type Places, placeName } from '../config/issues.ts'
import type { TestConfig } from '../config/people-schema.ts'
import type { GatewayConfig } from '../config/schema.ts'
import type { Outcome } from '../model.ts'
import type { Snapshot } from '../snapshot.ts'
import { type Explanation, explainRequest, isPreflightGranted, upstreamOf } from './explain-request.ts'
import { personaOf } from './people.ts'
import { type SimulatedRequest, type Simulation, simulate } from './simulate.ts'

export interface TestedPolicy {
  readonly config: GatewayConfig
  readonly snapshot: Snapshot
  /** Where each test stands; absent, results name it by its number. */
  readonly places?: Places
  /** The time of tests that name none. */
  readonly nowMs: number
}

export interface TestResult {
  /** `GET /api/books as alice`. */
  readonly title: string
  /** `allow`, a status, or a problem code. */
  readonly expected: string
  /** `gateway.yaml:70`. */
  readonly place: string
  /** What was found instead, in words; null when it passed. */
  readonly failure: string | null
  /** What the file says this test shows. */
  readonly why: string | null
}

export interface TestReport {
  readonly results: readonly TestResult[]
  readonly failed: number
  /** Of every test whose person exists. */
  readonly simulations: readonly Simulation[]
}

/** A node that serves runs this before it takes up a changed file: requests come in between so many tests. */
const TESTS_AT_ONCE_MAX = 100

/** Asks nobody outside: people are as the file says. */
export async function runPolicyTests(policy: TestedPolicy): Promise<TestReport> {
  const results: TestResult[] = []
  const simulations: Simulation[] = []
  for (const [at, test] of policy.config.tests.entries()) {
    if (at % TESTS_AT_ONCE_MAX === TESTS_AT_ONCE_MAX - 1) await new Promise<void>((resolve) => setTimeout(resolve))
    const request = requestOf(test, policy.nowMs)
    const place = policy.places === undefined ? `test ${at + 1}` : placeName(policy.places, ['tests', at])
    const { failure, simulation } = await runTest(policy, test, request)
    if (simulation !== null) simulations.push(simulation)
    const title = `${request.method} ${request.url} as ${test.as}${test.from === undefined ? '' : ` from ${test.from}`}`
    results.push({ title, expected: String(test.expect), place, failure, why: test.why ?? null })
  }
  return { results, failed: results.filter(({ failure }) => failure !== null).length, simulations }
}

async function runTest(
  { config, snapshot }: TestedPolicy,
  test: TestConfig,
  request: SimulatedRequest,
): Promise<{ readonly failure: string | null; readonly simulation: Simulation | null }> {
  const persona = personaOf(config, snapshot, test.as, request.atMs)
  if (typeof persona === 'string') return { failure: persona, simulation: null }
  const simulation = await simulate(snapshot, persona, request)
  if (isExpected(test.expect, simulation)) return { failure: wrongAtUpstream(test, simulation.outcome), simulation }
  const explained = explainRequest(snapshot, simulation, persona.notes)
  const hint = isUpstreams(test.expect, simulation) ? '; what an upstream answers is not known here: write `allow`' : ''
  const notes = explained.notes.map((text) => `; ${text}`).join('')
  const failure = `expected ${test.expect}, found ${foundWords(explained)}: ${decidedBy(explained)}${hint}${notes}`
  return { failure, simulation }
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'WEBSOCKET'] as const

function requestOf(test: TestConfig, nowMs: number): SimulatedRequest {
  const method = test.method ?? METHODS.find((known) => test[known] !== undefined)!
  const url = test.url ?? test[method as (typeof METHODS)[number]]!
  const atMs = test.at === undefined ? nowMs : Date.parse(test.at)
  return { method, url, from: test.from ?? null, atMs, headers: test.headers }
}

function isExpected(expected: TestConfig['expect'], { outcome, answer, code }: Simulation): boolean {
  if (expected === 'allow') {
    return outcome.kind === 'forward' || (outcome.kind === 'preflight' && isPreflightGranted(outcome.answer.headers))
  }
  return typeof expected === 'number' ? answer?.status === expected : code === expected
}

function isUpstreams(expected: TestConfig['expect'], { outcome }: Simulation): boolean {
  return outcome.kind === 'forward' && typeof expected === 'number' && expected < 400
}

/** `403 forbidden`, or what else became of it. */
export function foundWords({ verdict, status, code }: Explanation): string {
  switch (verdict) {
    case 'allow':
      return 'allow'
    case 'refuse':
      return `${status} ${code}`
    case 'preflight':
      return `${status}, the answer to a CORS preflight`
    case 'own':
      return 'one of the gateway’s own pages'
  }
}

function decidedBy({ route, findings, why, verdict }: Explanation): string {
  const where = route === null ? '' : `${route.pattern} ${route.place} `
  const missing = findings.find(({ verdict }) => verdict !== 'met')
  if (missing !== undefined) return `${where}${missing.key} needs ${missing.needed}, has ${missing.had}`
  const isLetIn = verdict === 'allow' && findings.length > 0
  return isLetIn ? `${where}lets in: ${route?.access}` : `${where}${why}`
}

function wrongAtUpstream({ upstream, path }: TestConfig, outcome: Outcome): string | null {
  if (upstream === undefined && path === undefined) return null
  if (outcome.kind !== 'forward')
    return 'expected an upstream to be asked, and none was: leave out `upstream` and `path`'
  const plan = upstreamOf(outcome)
  if (path !== undefined && path !== plan.path) return `expected the upstream to see ${path}, and it sees ${plan.path}`
  for (const [name, expected] of Object.entries(upstream ?? {})) {
    const values = plan.headers.filter(([sent]) => sent.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
    const found = values.length === 0 ? null : values.join(', ')
    if (found === expected) continue
    const shown = (value: string | null) => (value === null ? 'nothing' : JSON.stringify(value))
    return `expected the upstream to see ${shown(expected)} as ${name}, and it sees ${shown(found)}`
  }
  return null
}
