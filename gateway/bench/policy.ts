/**
 * `npm run bench:policy`: what deciding a request costs by kind of access, what finding its route costs by the number of routes, and
 * how long ten thousand routes take to compile. One process, no network; the whole line runs, and medians of interleaved rounds are printed.
 */

import { createHash } from 'node:crypto'
import { cpus } from 'node:os'
import { readPolicy } from '../config/parse.ts'
import type { Authentication, Principal, RawHead } from '../model.ts'
import { decide } from '../pipeline.ts'
import type { Ports } from '../ports.ts'
import type { Snapshot } from '../snapshot.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { percentile } from '../test/fleet/measure.ts'

const ROUNDS = 7
const REQUESTS = 20_000
const LOOKUPS = 200_000
const ROUTES = [10, 1000, 10_000] as const
/** Of all routes, so many get most requests: what they need stays in the processor's caches. */
const HOT = 100

/** What stands in a route, by the name of its row. */
const KINDS: Readonly<Record<string, string>> = {
  public: 'access: public',
  login: 'access: login',
  role: 'access: { role: [editor, reader] }',
  scope: 'access: { scope: chat }',
  claim: 'access: { claim: { department: [ops, eng] } }',
  ip: 'access: { ip: [192.168.0.0/16, 10.0.0.0/8], role: reader }',
  'when, on a parameter': 'access: { when: "params.id == user.id" }',
  'when, on a header and the query': `access: { when: 'request.headers["x-a"] == "b" && request.query.page == "2"' }`,
  any: 'access: { any: [{ role: admin }, { scope: none }, { role: reader }] }',
  not: 'access: { not: { role: trainee } }',
  'mfa and fresh': 'access: { mfa: true, fresh: 15m }',
  'login, two limits in memory': 'access: login, limit: [1000000/s per user, 1000000/s per ip]',
  'login, proposed': 'access: login, proposed: { role: editor }',
}

const PRINCIPAL: Principal = {
  kind: 'user',
  credential: 'token',
  subject: 'ci:u_1',
  issuer: 'https://ci.example.com',
  source: 'ci',
  email: 'alice@example.com',
  emailVerified: true,
  name: 'Alice',
  roles: ['reader'],
  scopes: ['chat'],
  groups: ['staff'],
  claims: { department: 'eng' },
  sessionId: null,
  tokenId: 't-1',
  keyId: null,
  authenticatedAtMs: Date.now(),
  methods: ['pwd', 'otp'],
  hasSecondFactor: true,
  expiresAtMs: Date.now() + 3_600_000,
}

const verified: Authentication = { principal: PRINCIPAL, proofs: [], rate: null, setCookies: [] }
const ports: Ports = {
  sessions: { verifyCookie: () => verified },
  tokens: { verifyToken: () => verified },
  keys: { verifyKey: () => verified },
  revocations: null,
  counters: memoryCounters(10_000),
  servers: null,
  assertions: null,
  sealer: null,
  journal: { record() {}, fault() {} },
}

function compile(routes: readonly string[]): { readonly snapshot: Snapshot; readonly ms: number } {
  const text = `version: 1
origin: http://books.test
tokens: { ci: { issuer: "https://ci.example.com", audience: books, claims: { department: department } } }
upstreams: { app: { url: "http://127.0.0.1:9000", assertion: false } }
admission: { perAddress: off }
routes:
${routes.map((route) => `  ${route}`).join('\n')}
`
  const sha256 = (value: string) => createHash('sha256').update(value).digest('hex')
  const beganMs = performance.now()
  const read = readPolicy(text, { file: 'bench.yaml', readEnv: () => undefined, readFile: () => '' }, sha256)
  const ms = performance.now() - beganMs
  if ('issues' in read) throw new Error(read.issues.map(({ message }) => message).join('\n'))
  return { snapshot: read.snapshot, ms }
}

function headOf(at: number): RawHead {
  return {
    requestId: `r-${at}`,
    receivedAtMs: Date.now(),
    method: 'GET',
    target: '/a/ci:u_1?page=2',
    httpVersion: '1.1',
    headers: ['Host', 'books.test', 'Authorization', 'Bearer x', 'X-A', 'b', 'Accept', '*/*', 'User-Agent', 'bench'],
    peerAddress: '10.1.2.3',
    isUpgrade: false,
  }
}

const rows = new Map<string, number[]>()
const note = (name: string, value: number) => rows.set(name, [...(rows.get(name) ?? []), value])
const median = (name: string) => percentile(rows.get(name)!, 0.5)

const policies = Object.entries(KINDS).map(([name, route]) => {
  return { name, snapshot: compile([`/a/:id: { to: app, ${route} }`]).snapshot }
})
for (let round = 0; round < ROUNDS; round += 1) {
  for (const { name, snapshot } of policies) {
    const heads = Array.from({ length: REQUESTS }, (_, at) => headOf(at))
    const before = process.cpuUsage()
    for (const head of heads) {
      const outcome = await decide(snapshot, ports, head)
      if (outcome.kind !== 'forward') throw new Error(`${name}: ${outcome.kind}`)
    }
    const { user, system } = process.cpuUsage(before)
    // The first round warms up.
    if (round > 0) note(name, (user + system) / REQUESTS)
  }
}

const tables = ROUTES.map((count) => {
  const paths = Array.from({ length: count }, (_, at) => `/team-${at % 97}/item-${at}`)
  const compiled = compile(paths.map((path) => `${path}/:id/**: { to: app, access: login }`))
  return { count, paths, ...compiled }
})
for (let round = 0; round < ROUNDS; round += 1) {
  for (const { count, paths, snapshot } of tables) {
    for (const [busy, paceOf] of [
      ['busy', HOT],
      ['all', count],
    ] as const) {
      const targets = Array.from({ length: LOOKUPS }, (_, at) => `${paths[((at % paceOf) * 7919) % count]}/x/y`)
      const before = process.cpuUsage()
      for (const target of targets) if (snapshot.routes.find('books.test', target) === null) throw new Error(target)
      const { user, system } = process.cpuUsage(before)
      if (round > 0) note(`${count} routes, ${busy}`, ((user + system) * 1000) / LOOKUPS)
    }
  }
}

print(`${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}, ${ROUNDS - 1} rounds; medians`)
print('\n| access | CPU us a decision | more than public |\n|---|---|---|')
for (const name of Object.keys(KINDS)) {
  print(`| ${name} | ${median(name).toFixed(2)} | ${(median(name) - median('public')).toFixed(2)} |`)
}
print(
  `\n| routes | CPU ns to find one of ${HOT} busy ones | CPU ns to find any | ms to read and compile |\n|---|---|---|---|`,
)
for (const { count, ms } of tables) {
  const [busy, all] = [median(`${count} routes, busy`), median(`${count} routes, all`)]
  print(`| ${count} | ${busy.toFixed(0)} | ${all.toFixed(0)} | ${ms.toFixed(0)} |`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
