/** The tests of a policy file: what passes, what a failure says, and what no test touches. */

import { expect, test } from 'vitest'
import { compile } from '../config/compile.ts'
import { formatIssues, parsePolicy } from '../config/parse.ts'
import { coverageOf } from './coverage.ts'
import { explainRequest } from './explain-request.ts'
import { personaOf } from './people.ts'
import { routeRows } from './routes-table.ts'
import { runPolicyTests } from './run-tests.ts'
import { simulate } from './simulate.ts'

const NOW_MS = Date.parse('2026-03-02T10:00:00Z')

const POLICY = `
version: 1
origin: http://localhost:8080
keys: { header: X-API-Key, prefix: bk_ }
tokens:
  ci:
    issuer: https://ci.example.com
    audience: books
    claims: { department: dept, groups: groups }
    roles: [deployer]
    mfa: { amr: [mfa] }
upstreams:
  web: http://127.0.0.1:5173
  api: http://127.0.0.1:8000
routes:
  /**: { to: web, access: public }
  /api/**: { access: deny }
  /api/health: { to: api, access: public }
  /api/books/**: { to: api, access: { read: public, write: { role: editor } } }
  /api/users/:user/tasks/**: { to: api, access: { when: "params.user == user.id" } }
  /api/chat: { to: api, access: { with: [session, key] }, limit: 20/min per user }
  /api/admin/**: { to: api, access: { role: admin, mfa: true, fresh: 15m } }
  /api/deploy: { to: api, access: { role: deployer, claim: { department: eng }, group: ops } }
  /api/either: { to: api, access: { any: [{ role: admin }, { ip: 10.0.0.0/8 }] } }
  /ws: { to: api, access: login }
  /mail: { to: api, access: { email: alice@example.com } }
  /hours: { to: api, access: { when: "now.getHours() < 12" } }
people:
  alice: { id: u_1, email: alice@example.com, roles: [reader] }
  root: { id: u_2, roles: [admin], mfa: true, signedIn: 2m ago }
  eve: { id: u_9, email: alice@example.com, emailVerified: false }
  late: { id: u_3, roles: [admin], mfa: true, signedIn: 2h ago }
  ghost: { id: u_2, roles: [admin], mfa: true, impersonated: true }
  robot: { key: robot-1, owner: alice, scopes: [chat] }
  builder: { token: ci, sub: job-7, roles: [deployer, admin], claims: { department: eng }, groups: [ops], mfa: true }
  script: { id: u_1, roles: [reader], with: token }
tests:
`

interface Loaded {
  readonly config: Parameters<typeof runPolicyTests>[0]['config']
  readonly snapshot: Parameters<typeof runPolicyTests>[0]['snapshot']
  readonly places: NonNullable<Parameters<typeof runPolicyTests>[0]['places']>
  readonly nowMs: number
}

function load(tests: string, policy = POLICY): Loaded {
  const options = { file: 'gateway.yaml', readEnv: () => undefined, readFile: () => '' }
  const parsed = parsePolicy(policy + tests, { ...options })
  if ('issues' in parsed) throw new Error(formatIssues(parsed.issues))
  const compiled = compile(parsed.config, 'f'.repeat(64), parsed.places)
  if ('issues' in compiled) throw new Error(formatIssues(compiled.issues))
  return { ...parsed, snapshot: compiled.snapshot, nowMs: NOW_MS }
}

const PASSING = [
  '{ GET: /api/health, as: nobody, expect: allow }',
  '{ POST: /api/chat, as: nobody, expect: 401 }',
  '{ POST: /api/chat, as: nobody, expect: login-required }',
  '{ POST: /api/chat, as: robot, expect: allow, upstream: { X-Forwarded-User: u_1, X-API-Key: null } }',
  '{ POST: /api/chat, as: script, expect: 403 }',
  '{ POST: /api/books, as: alice, expect: 403 }',
  '{ POST: /api/books, as: alice, headers: { Sec-Fetch-Site: cross-site }, expect: cross-site-request }',
  '{ GET: /api/admin/users, as: root, expect: allow, upstream: { X-Forwarded-User: u_2 }, path: /api/admin/users }',
  '{ GET: /api/admin/users, as: late, expect: insufficient-user-authentication }',
  '{ GET: /api/admin/users, as: ghost, expect: insufficient-user-authentication }',
  '{ GET: /api/unlisted, as: root, expect: 404 }',
  '{ GET: /x/..%2fapi/admin, as: nobody, expect: 400 }',
  '{ GET: "http://evil.example/", as: nobody, expect: misdirected-request }',
  '{ GET: /api/users/u_1/tasks/7?done=1, as: alice, expect: allow, path: /api/users/u_1/tasks/7?done=1 }',
  '{ GET: /api/users/u_2/tasks/7, as: alice, expect: 403 }',
  '{ POST: /api/deploy, as: builder, expect: allow, upstream: { X-Forwarded-User: "ci:job-7" } }',
  '{ GET: /api/admin/users, as: builder, expect: 403, why: its issuer may not confer admin }',
  '{ GET: /api/either, as: alice, expect: 403 }',
  '{ GET: /api/either, as: alice, from: 10.1.2.3, expect: allow }',
  '{ WEBSOCKET: /ws, as: alice, expect: allow }',
  '{ WEBSOCKET: /ws, as: nobody, expect: 401 }',
  '{ WEBSOCKET: /ws, as: alice, headers: { Origin: "https://evil.example" }, expect: 403 }',
  '{ GET: /ws, as: nobody, headers: { Accept: text/html }, expect: 302 }',
  '{ GET: /hours, as: alice, at: "2026-03-02T09:00:00Z", expect: allow }',
  '{ GET: /hours, as: alice, at: "2026-03-02T13:00:00Z", expect: 403 }',
  '{ GET: /mail, as: alice, expect: allow }',
  '{ GET: /mail, as: eve, expect: 403, why: an address that nobody proved to own matches nothing }',
  '{ method: PROPFIND, url: /ws, as: alice, expect: allow }',
] as const

for (const line of PASSING) {
  test(`[FR-047] ${line} passes`, async () => {
    const report = await runPolicyTests(load(`  - ${line}\n`))
    expect(report.results.map(({ failure }) => failure)).toEqual([null])
    expect(report.failed).toBe(0)
  })
}

const FAILING = [
  [
    '{ POST: /api/books, as: alice, expect: allow }',
    /^expected allow, found 403 forbidden: \/api\/books\/\*\* gateway\.yaml:\d+ role needs editor, has reader$/,
  ],
  ['{ POST: /ws, as: alice, expect: 401 }', /found allow: \/ws gateway\.yaml:\d+ lets in: signed in$/],
  ['{ GET: /api/health, as: nobody, expect: 401 }', /^expected 401, found allow: \/api\/health gateway\.yaml:\d+ /],
  ['{ GET: /api/health, as: nobody, expect: 200 }', /what an upstream answers is not known here: write `allow`$/],
  [
    '{ GET: /api/unlisted, as: root, expect: allow }',
    /found 404 not-found: \/api\/\*\* gateway\.yaml:\d+ its access is `deny`/,
  ],
  [
    '{ GET: /api/health, as: nobody, expect: allow, upstream: { X-Forwarded-User: u_1 } }',
    /^expected the upstream to see "u_1" as X-Forwarded-User, and it sees nothing$/,
  ],
  [
    '{ GET: /api/health, as: nobody, expect: allow, upstream: { X-Request-Id: null } }',
    /^expected the upstream to see nothing as X-Request-Id, and it sees "simulated"$/,
  ],
  [
    '{ GET: /api/health, as: nobody, expect: allow, path: /health }',
    /^expected the upstream to see \/health, and it sees \/api\/health$/,
  ],
  ['{ GET: /_postern/sign-in, as: nobody, expect: allow }', /found one of the gateway’s own pages/],
] as const

for (const [line, words] of FAILING) {
  test(`[FR-047] ${line} fails, and says what was found`, async () => {
    const { results, failed } = await runPolicyTests(load(`  - ${line}\n`))
    expect(results[0]!.failure).toMatch(words)
    expect(results[0]!.place).toMatch(/^gateway\.yaml:\d+$/)
    expect(failed).toBe(1)
  })
}

test('[FR-047] a fact that no credential could prove counts for nothing, and is said', async () => {
  const { config, snapshot } = load('  []\n')
  const claims = { department: 'eng', other: 'x' }
  const people = { builder: { ...config.people.builder!, claims } }
  const builder = personaOf({ ...config, people }, snapshot, 'builder', NOW_MS)
  if (typeof builder === 'string') throw new Error(builder)
  expect(builder.principal).toMatchObject({ subject: 'ci:job-7', roles: ['deployer'], claims: { department: 'eng' } })
  expect(builder.notes.join('\n')).toContain('the role admin of `builder` counts for nothing')
  expect(builder.notes.join('\n')).toContain('the claim other of `builder` counts for nothing')
  expect(personaOf(config, snapshot, 'mallory', NOW_MS)).toContain('there is no `mallory`')
})

test('[FR-047] an impersonated session meets neither mfa nor fresh, and a key neither', () => {
  const { config, snapshot } = load('  []\n')
  for (const name of ['ghost', 'robot']) {
    const persona = personaOf(config, snapshot, name, NOW_MS)
    if (typeof persona === 'string') throw new Error(persona)
    expect(persona.principal).toMatchObject({ hasSecondFactor: false, authenticatedAtMs: null })
  }
})

test('[FR-047] coverage names each branch that no test touches, and is whole when none is left', async () => {
  const policy = `
version: 1
origin: http://localhost:8080
upstreams: { api: http://127.0.0.1:8000 }
routes:
  /a: { to: api, access: { read: public, write: { role: editor } } }
  /b: { to: api, access: { any: [{ role: editor }, { ip: 10.0.0.0/8 }] } }
  /c: { to: api, access: { with: [session, token, key] } }
people:
  alice: { roles: [reader] }
  ed: { roles: [editor] }
tests:
`
  const some = load('  - { GET: /a, expect: allow }\n  - { POST: /a, as: alice, expect: 403 }\n', policy)
  const first = coverageOf(some.snapshot, (await runPolicyTests(some)).simulations)
  expect(first).toMatchObject({ routes: 3, routesTouched: 1, covered: 2 })
  const missed = first.points.filter(({ isCovered }) => !isCovered).map(({ pattern, branch }) => `${pattern} ${branch}`)
  expect(missed).toContain('/a write: role editor, met')
  expect(missed).toContain('/a write: nobody is refused')
  expect(missed).not.toContain('/a write: role editor, not met')
  expect(missed).toContain('/b all methods: let in by (from 10.0.0.0/8)')
  const all = load(
    `
  - { GET: /a, expect: allow }
  - { POST: /a, as: alice, expect: 403 }
  - { POST: /a, expect: 401 }
  - { POST: /a, as: ed, expect: allow }
  - { GET: /b, expect: 401 }
  - { GET: /b, as: alice, expect: 403 }
  - { GET: /b, as: ed, expect: allow }
  - { GET: /b, as: alice, from: 10.0.0.1, expect: allow }
  - { GET: /c, expect: 401 }
  - { GET: /c, as: alice, expect: allow }
`,
    policy,
  )
  const whole = coverageOf(all.snapshot, (await runPolicyTests(all)).simulations)
  expect(whole.points.filter(({ isCovered }) => !isCovered)).toEqual([])
  expect(whole.percent).toBe(100)
})

test('[FR-047] routes are listed most specific first, in plain words', () => {
  const { snapshot } = load('  []\n')
  const rows = routeRows(snapshot.routes.all!)
  expect(rows.map(({ pattern }) => pattern)).toEqual([
    ...['/api/admin/**', '/api/books/**', '/api/chat', '/api/deploy', '/api/either', '/api/health'],
    ...['/api/users/:user/tasks/**', '/api/**', '/hours', '/mail', '/ws', '/**'],
  ])
  const words = Object.fromEntries(rows.map(({ pattern, access }) => [pattern, access]))
  expect(words['/api/admin/**']).toEqual([
    { methods: 'all methods', access: 'role admin, with a second factor, and signed in within 15 minutes' },
  ])
  expect(words['/api/books/**']).toEqual([
    { methods: 'read', access: 'anybody' },
    { methods: 'write', access: 'role editor' },
  ])
})

async function explained(method: string, url: string, name: string, headers: Record<string, string> = {}) {
  const { config, snapshot } = load('  []\n')
  const persona = personaOf(config, snapshot, name, NOW_MS)
  if (typeof persona === 'string') throw new Error(persona)
  const request = { method, url, from: null, atMs: NOW_MS, headers }
  return explainRequest(snapshot, await simulate(snapshot, persona, request), persona.notes)
}

test('[FR-047] explain says which line decided, what was needed and had, and what would let the caller pass', async () => {
  const found = await explained('GET', '/api/admin/users', 'alice')
  expect(found).toMatchObject({ verdict: 'refuse', status: 403, reason: 'role.missing' })
  expect(found.route).toMatchObject({ pattern: '/api/admin/**', place: expect.stringMatching(/^gateway\.yaml:\d+$/) })
  const role = found.findings.find(({ key }) => key === 'role')
  expect(role).toMatchObject({ needed: 'admin', had: 'reader', verdict: 'unmet' })
  expect(found.toPass).toEqual(['give role admin', 'step up with a second factor'])
})

test('[FR-047] explain shows what the upstream would get, with an assertion that is signed and not shown', async () => {
  const found = await explained('GET', '/api/admin/users', 'root')
  expect(found).toMatchObject({ verdict: 'allow', status: null, toPass: [] })
  expect(found.upstream).toMatchObject({ id: 'api', origin: 'http://127.0.0.1:8000', path: '/api/admin/users' })
  expect(found.upstream!.headers).toContainEqual(['X-Forwarded-User', 'u_2'])
  expect(found.upstream!.headers).toContainEqual(['X-Postern-Assertion', '(signed)'])
  expect(JSON.stringify(found.upstream)).not.toContain('postern.session')
})

const REFUSED = [
  ['GET', '/api/unlisted', 404, '/api/**', /change `access` at gateway\.yaml:\d+/],
  ['GET', 'http://other.example/', 421, null, /ask one of the hosts that are served: localhost:8080/],
  ['GET', '/a/../b', 400, null, /write the path that it leads to/],
  ['POST', '/api/users/u_9/tasks/1', 403, '/api/users/:user/tasks/**', /make `params\.user == user\.id` true/],
] as const

for (const [method, url, status, pattern, cure] of REFUSED) {
  test(`[FR-047] explain ${method} ${url} says ${status} and the cure`, async () => {
    const found = await explained(method, url, 'alice')
    expect(found.status).toBe(status)
    expect(found.route?.pattern ?? null).toBe(pattern)
    expect(found.toPass.join('; ')).toMatch(cure)
  })
}

test('[FR-047] explain tells which reading of an ambiguous path meets another route', async () => {
  const found = await explained('GET', '/api//health', 'alice')
  expect(found).toMatchObject({ status: 400, reason: 'target.ambiguous' })
  expect(found.notes.join('\n')).toMatch(/some servers read it as `\/api\/health`, which meets \/api\/health/)
})

test('[FR-047] explain names the nearest route for a path that nobody names, and the methods for one that is not listed', async () => {
  const policy = `
version: 1
origin: http://localhost:8080
upstreams: { api: http://127.0.0.1:8000 }
routes: { /books/:id: { to: api, access: { GET: public } } }
people: { alice: {} }
`
  const { config, snapshot } = load('', policy)
  const alice = personaOf(config, snapshot, 'alice', NOW_MS)
  if (typeof alice === 'string') throw new Error(alice)
  const ask = async (method: string, url: string) =>
    explainRequest(snapshot, await simulate(snapshot, alice, { method, url, from: null, atMs: NOW_MS, headers: {} }))
  expect((await ask('GET', '/boks/7')).toPass.join()).toContain('did you mean `/books/:id` (gateway.yaml:5)')
  const wrongMethod = await ask('POST', '/books/7')
  expect(wrongMethod).toMatchObject({ status: 405, toPass: [expect.stringContaining('use GET or HEAD')] })
})

const HOSTED = `
version: 1
origin: http://localhost:8080
upstreams: { web: http://127.0.0.1:5173, api: http://127.0.0.1:8000 }
routes:
  /**: { to: web, access: login }
  api.localhost/**:
    to: api
    access: { GET: login, POST: login }
    cors: { origins: ["https://app.example"], headers: [Content-Type] }
people: { alice: {}, script: { id: alice, with: token } }
tests:
`

const ASKING = 'Origin: "https://app.example", Access-Control-Request-Method'
const ELSEWHERE = [
  ['{ GET: "http://api.localhost:8080/x", as: script, expect: allow }', null],
  ['{ GET: "http://api.localhost:8080/x", as: alice, expect: 401 }', null],
  [
    '{ GET: "http://api.localhost:8080/x", as: alice, expect: allow }',
    /a session counts on http:\/\/localhost:8080 only/,
  ],
  ['{ GET: /x, as: alice, expect: allow }', null],
  [`{ OPTIONS: "http://api.localhost:8080/x", headers: { ${ASKING}: POST }, expect: allow }`, null],
  [`{ OPTIONS: "http://api.localhost:8080/x", headers: { ${ASKING}: POST }, expect: 204 }`, null],
  [
    `{ OPTIONS: "http://api.localhost:8080/x", headers: { ${ASKING}: DELETE }, expect: allow }`,
    /expected allow, found/,
  ],
] as const
for (const [line, words] of ELSEWHERE) {
  test(`[FR-047] on a host of its own, ${line} ${words === null ? 'passes' : 'fails, and says why'}`, async () => {
    const [result] = (await runPolicyTests(load(`  - ${line}\n`, HOSTED))).results
    if (words === null) expect(result!.failure).toBeNull()
    else expect(result!.failure).toMatch(words)
  })
}

const PROPOSED = [
  ['alice', 'would-refuse'],
  ['root', 'same'],
] as const
for (const [name, proposed] of PROPOSED) {
  test(`[FR-050] explain says that a proposal is ${proposed} for ${name}`, async () => {
    const policy = POLICY.replace(
      '/ws: { to: api, access: login }',
      '/ws: { to: api, access: login, proposed: { role: admin } }',
    )
    const { config, snapshot } = load('  []\n', policy)
    const persona = personaOf(config, snapshot, name, NOW_MS)
    if (typeof persona === 'string') throw new Error(persona)
    const request = { method: 'GET', url: '/ws', from: null, atMs: NOW_MS, headers: {} }
    const found = explainRequest(snapshot, await simulate(snapshot, persona, request))
    expect(found).toMatchObject({ verdict: 'allow', proposed })
    expect(found.notes).toHaveLength(1)
  })
}

test('[FR-047] a token of another issuer says when somebody signed in only where the file says that it does', async () => {
  const policy = POLICY.replace(
    '/ws: { to: api, access: login }',
    '/ws: { to: api, access: { with: token, fresh: 1h } }',
  ).replace('script: {', 'told: { token: ci, sub: a, signedIn: 2m ago }\n  script: {')
  const tests =
    '  - { GET: /ws, as: builder, expect: 401 }\n  - { GET: /ws, as: told, expect: allow }\n  - { GET: /ws, as: script, expect: allow }\n'
  expect((await runPolicyTests(load(tests, policy))).results.map(({ failure }) => failure)).toEqual([null, null, null])
})
