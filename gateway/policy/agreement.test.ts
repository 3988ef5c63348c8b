/** What `explain` says, what a test of the file says and what the gateway's line decides are one thing, in whatever order the file stands. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compile } from '../config/compile.ts'
import { formatIssues } from '../config/issues.ts'
import { parsePolicy } from '../config/parse.ts'
import type { GatewayConfig } from '../config/schema.ts'
import type { Snapshot } from '../snapshot.ts'
import {
  ACCESS_KEYS,
  countKeys,
  policies,
  type RandomRequest,
  requests,
  shuffled,
  yamlOf,
} from '../test/support/random-policy.ts'
import { type Explanation, explainRequest } from './explain-request.ts'
import { personaOf } from './people.ts'
import { runPolicyTests } from './run-tests.ts'
import { simulate } from './simulate.ts'

const NOW_MS = Date.parse('2026-03-02T10:00:00Z')
const ORIGIN = 'http://localhost:4711'
const KEY = {
  kty: 'EC',
  crv: 'P-256',
  kid: 'k1',
  alg: 'ES256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
}
const WORLD = { origin: ORIGIN, upstreamUrl: 'http://127.0.0.1:9', jwks: [KEY] }
const POLICIES = 100
const REQUESTS_PER_POLICY = 40

interface Compiled {
  readonly config: GatewayConfig
  readonly snapshot: Snapshot
}

/** Not every random policy is a lawful one; why not is kept, so that a run cannot pass by refusing all. */
function load(tree: unknown): Compiled | string {
  const text = yamlOf(tree)
  const parsed = parsePolicy(text, { file: 'random.yaml', readEnv: () => undefined, readFile: () => '' })
  if ('issues' in parsed) return formatIssues(parsed.issues)
  const compiled = compile(parsed.config, 'f'.repeat(64), parsed.places)
  if ('issues' in compiled) return formatIssues(compiled.issues)
  return { config: parsed.config, snapshot: compiled.snapshot }
}

async function explained({ config, snapshot }: Compiled, request: RandomRequest): Promise<Explanation> {
  const { method, url, as, headers } = request
  const persona = personaOf(config, snapshot, as, NOW_MS)
  if (typeof persona === 'string') throw new Error(persona)
  const simulation = await simulate(snapshot, persona, { method, url, from: '127.0.0.1', atMs: NOW_MS, headers })
  return explainRequest(snapshot, simulation)
}

/** All that a caller or an upstream can see of a decision. */
function decisionOf({ verdict, status, code, reason, route, upstream }: Explanation) {
  return { verdict, status, code, reason, route: route?.pattern ?? null, upstream }
}

const counts = new Map<string, number>()
const refused: string[] = []

test(`[FR-047] explain, the file's tests and the line agree on ${POLICIES} random policies, in any order of their keys`, async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const reached = { allow: 0, refuse: 0 }
  const property = fc.asyncProperty(
    policies(WORLD),
    fc.array(requests(ORIGIN), { minLength: REQUESTS_PER_POLICY, maxLength: REQUESTS_PER_POLICY }),
    fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
    async (tree, asked, numbers) => {
      const policy = load(tree)
      if (typeof policy === 'string') return void refused.push(policy)
      countKeys(tree, counts)
      const other = load(shuffled(tree, () => numbers.next().value!))
      if (typeof other === 'string') throw new Error(`the same policy in another order is refused:\n${other}`)
      const found = await Promise.all(asked.map((request) => explained(policy, request)))
      for (const [at, one] of found.entries()) {
        if (one.verdict === 'allow' || one.verdict === 'refuse') reached[one.verdict] += 1
        expect(decisionOf(await explained(other, asked[at]!))).toEqual(decisionOf(one))
        expectFindingsAgree(one)
      }
      const tests = asked.map(({ method, url, as, headers }, at) => {
        const expected = found[at]!.verdict === 'allow' ? ('allow' as const) : found[at]!.status!
        return { method, url, as, headers, from: '127.0.0.1', expect: expected }
      })
      const report = await runPolicyTests({
        config: { ...policy.config, tests },
        snapshot: policy.snapshot,
        nowMs: NOW_MS,
      })
      expect(report.results.filter(({ failure }) => failure !== null)).toEqual([])
      const opposite = tests.map((one) => ({ ...one, expect: one.expect === 'allow' ? 403 : ('allow' as const) }))
      const wrong = await runPolicyTests({
        config: { ...policy.config, tests: opposite },
        snapshot: policy.snapshot,
        nowMs: NOW_MS,
      })
      expect(wrong.failed).toBe(opposite.length)
    },
  )
  await fc.assert(property, { numRuns: POLICIES, seed })
  const shown = [...counts].filter(([key]) => (ACCESS_KEYS as readonly string[]).includes(key))
  process.stdout.write(
    `seed ${seed}; ${POLICIES - refused.length} policies, ${reached.allow} allowed, ${reached.refuse} refused; ${shown.map(([key, count]) => `${key} ${count}`).join(', ')}\n`,
  )
  expect(ACCESS_KEYS.filter((key) => (counts.get(key) ?? 0) === 0)).toEqual([])
  expect(reached.allow).toBeGreaterThan(0)
  expect(refused.length, refused[0]).toBeLessThan(POLICIES / 5)
}, 120_000)

/** Who is let in meets every finding; who is refused for what they are misses one. */
function expectFindingsAgree({ verdict, findings, reason }: Explanation): void {
  const isMet = findings.every((finding) => finding.verdict === 'met')
  if (verdict === 'allow') expect(isMet).toBe(true)
  if (verdict === 'refuse' && findings.length > 0) expect(isMet, reason ?? '').toBe(false)
}
