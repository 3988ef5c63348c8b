/** `postern test`, `routes` and `explain` as somebody types them, on a policy file of their own. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Explanation } from '../policy/explain-request.ts'
import { command, commandAlone } from '../test/support/command.ts'
import { startTestGateway } from '../test/support/gateway.ts'
import { askAdmin } from './decision-source.ts'

/** A secret that is not set where policies are judged: only a credential needs the stores. */
const POLICY = `version: 1
origin: http://localhost:8080
keys: { header: X-API-Key, prefix: bk_ }
upstreams: { web: "http://127.0.0.1:5173", api: "http://127.0.0.1:8000" }
routes:
  /**: { to: web, access: public }
  /api/**: { access: deny }
  /api/books/**: { to: api, access: { read: public, write: { role: editor } }, limit: 20/min per user }
  /api/chat: { to: api, access: { with: [session, key] } }
  /api/admin/**: { to: api, access: { role: admin, mfa: true, fresh: 15m } }
people:
  alice: { id: u_1, email: alice@example.com, roles: [reader] }
  root: { id: u_2, email: root@example.com, roles: [admin], mfa: true, signedIn: 2m ago }
  robot: { key: robot-1, owner: alice, scopes: [chat] }
tests:
  - { GET: /api/books, expect: allow }
  - { GET: /api/admin/users, as: root, expect: allow }
`
const FAILING = `  - { POST: /api/books, as: alice, expect: allow, why: alice writes }\n`

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-explain-'))
  writeFileSync(join(folder, 'good.yaml'), POLICY)
  writeFileSync(join(folder, 'failing.yaml'), POLICY + FAILING)
  writeFileSync(join(folder, 'broken.yaml'), POLICY.replace('role: editor', 'roel: editor'))
  const secret = 'store: { secret: "$' + '{env:NOT_SET_HERE}" }\n'
  writeFileSync(join(folder, 'secret.yaml'), POLICY.replace('upstreams:', `${secret}upstreams:`))
}, 120_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, DATABASE_URL: undefined, REDIS_URL: undefined }

function postern(words: readonly string[], input = '') {
  return command(words, { cwd: folder, env, input })
}

function explain(...words: readonly string[]) {
  return postern(['explain', ...words, '--config', 'good.yaml'])
}

test('[FR-047] test says what passed, and needs no secret for it', async () => {
  for (const file of ['good.yaml', 'secret.yaml']) {
    const { status, stdout } = await postern(['test', file])
    expect(stdout).toContain('✓ GET /api/admin/users as root: allow\n')
    expect(stdout).toMatch(/\ncoverage: 2 of 5 routes, \d+ of \d+ branches \(\d+%\)/)
    expect(stdout).toMatch(/2 tests, all passed\n$/)
    expect(status).toBe(0)
  }
}, 120_000)

test('[FR-047] test exits with 1 for a failure, and says what was found, where, and why it matters', async () => {
  const { status, stdout } = await postern(['test', 'failing.yaml', '--junit', 'report.xml'])
  expect(status).toBe(1)
  expect(stdout).toContain(
    '✗ POST /api/books as alice  failing.yaml:18\n' +
      '    expected allow, found 403 forbidden: /api/books/** failing.yaml:8 role needs editor, has reader\n' +
      '    alice writes\n',
  )
  const report = readFileSync(join(folder, 'report.xml'), 'utf8')
  expect(report).toContain('tests="3" failures="1"')
  expect(report).toContain('<failure message="expected allow, found 403 forbidden')
}, 120_000)

test('[FR-047] test gives JSON, lists what no test touches, and fails below the coverage that is asked for', async () => {
  const json = JSON.parse((await postern(['test', 'good.yaml', '--json'])).stdout)
  expect(json).toMatchObject({ failed: 0, results: [{ failure: null }, { failure: null }], coverage: { routes: 5 } })
  const listed = await postern(['test', 'good.yaml', '--coverage', '--coverage-min', '90'])
  expect(listed.stdout).toContain('untested: /api/books/**  write: role editor, met  good.yaml:8\n')
  expect(listed.stdout).toContain('coverage is below 90%\n')
  expect(listed.status).toBe(1)
  expect((await postern(['test', 'good.yaml', '--coverage-min', '10'])).status).toBe(0)
  expect((await postern(['test', 'good.yaml', '--coverage-min', 'most'])).status).toBe(2)
}, 120_000)

test('[FR-047] test of a broken policy exits with 1 and prints its mistakes', async () => {
  const { status, stderr } = await postern(['test', 'broken.yaml'])
  expect(status).toBe(1)
  expect(stderr).toContain('roel')
}, 120_000)

test('[FR-047] routes stand most specific first, in words, and as JSON', async () => {
  const { stdout } = await postern(['routes', 'good.yaml'])
  const lines = stdout.split('\n').map((line) => line.replace(/ {2,}/g, ' | '))
  expect(lines).toEqual([
    'pattern | methods | to | limits | place | access',
    '/api/admin/** | all methods | api | - | good.yaml:10 | role admin, with a second factor, and signed in within 15 minutes',
    '/api/books/** | read | api | 20/min per user | good.yaml:8 | anybody',
    ' | write | role editor',
    '/api/chat | all methods | api | - | good.yaml:9 | with a session or an API key',
    '/api/** | all methods | - | - | good.yaml:7 | nobody (404)',
    '/** | all methods | web | - | good.yaml:6 | anybody',
    '',
  ])
  const [first] = JSON.parse((await postern(['routes', 'good.yaml', '--json'])).stdout)
  expect(first).toMatchObject({ pattern: '/api/admin/**', upstream: 'api', place: 'good.yaml:10' })
}, 120_000)

test('[FR-047] explain says which line refused, what was needed and had, and what would let the caller pass', async () => {
  const { status, stdout } = await explain('GET', '/api/admin/users', '--as', 'alice')
  expect(stdout).toMatch(/^403 forbidden {2}\/api\/admin\/\*\* {2}good\.yaml:10\n/)
  expect(stdout).toMatch(/\n {2}role +needs admin +has reader +refused\n/)
  expect(stdout).toMatch(/\nto pass: give role admin, then step up with a second factor\n$/)
  expect(status).toBe(0)
  expect((await explain('GET', '/api/admin/users', '--as', 'alice', '--exit-code')).status).toBe(1)
  expect((await explain('get', '/api/admin/users', '--as', 'root', '--exit-code')).status).toBe(0)
}, 120_000)

test('[FR-047] explain shows what the upstream would get', async () => {
  const { stdout } = await explain(
    'GET',
    '/api/admin/users',
    '--as',
    'root',
    '--from',
    '203.0.113.9',
    '--header',
    'X-Flag: on',
  )
  expect(stdout).toContain('the upstream api gets: http://127.0.0.1:8000/api/admin/users\n')
  for (const line of [
    'X-Forwarded-User: u_2',
    'X-Forwarded-For: 203.0.113.9',
    'X-Flag: on',
    'X-Postern-Assertion: (signed)',
  ]) {
    expect(stdout).toContain(`  ${line}\n`)
  }
}, 120_000)

const misused = [
  [['GET'], 'name a request'],
  [['GET', 'api/books'], 'is no path and no URL'],
  [['GET', '/x', '--as', 'mallory'], 'there is no `mallory` among the people of this policy'],
  [['GET', '/x', '--token', 'eyJhbGciOi'], 'say `--token -` and send it by standard input'],
  [['GET', '/x', '--token', '-', '--as', 'alice'], 'name one caller'],
  [['GET', '/x', '--header', 'Accept'], 'is no header'],
  [['GET', '/x', '--at', 'yesterday'], 'is no time'],
  [['--request', 'r1'], 'say where the decision is kept'],
] as const
for (const [words, message] of misused) {
  test(`[FR-047] explain ${words.join(' ')} exits with 2: ${message}`, async () => {
    const { status, stdout, stderr } = await explain(...words)
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('eyJhbGciOi')
  })
}

test('[FR-047] explain verifies a real token, cookie and key as the gateway does, and shows none of them', async () => {
  const mint = async (...words: string[]) => (await postern(['token', ...words, '--config', 'good.yaml'])).stdout.trim()
  const ask = async (method: string, url: string, kind: string, secret: string) => {
    const words = ['explain', method, url, `--${kind}`, '-', '--config', 'good.yaml', '--json']
    const { status, stdout, stderr } = await postern(words, `${secret}\n`)
    expect(status, stderr).toBe(0)
    expect(stdout + stderr).not.toContain(secret)
    return JSON.parse(stdout) as Explanation
  }
  const jwt = await mint('root', '--jwt')
  expect(await ask('GET', '/api/admin/users', 'token', jwt)).toMatchObject({ verdict: 'allow', why: 'u_2 may come in' })
  const alone = { cwd: folder, env, input: `${jwt}\n` }
  const itself = await commandAlone(['explain', 'GET', '/', '--token', '-', '--config', 'good.yaml'], alone)
  expect(itself.status, itself.stderr).toBe(0)
  const session = await mint('alice')
  expect(await ask('POST', '/api/books', 'cookie', encodeURIComponent(session))).toMatchObject({
    reason: 'role.missing',
  })
  expect(await ask('POST', '/api/chat', 'key', await mint('robot'))).toMatchObject({
    verdict: 'allow',
    why: 'u_1 may come in',
  })
  expect(await ask('GET', '/api/admin/users', 'token', `${jwt}x`)).toMatchObject({ status: 401, code: 'invalid-token' })
}, 120_000)

test('[FR-051] explain tells of a request that a running gateway refused, by the id in its answer', async () => {
  const gateway = await startTestGateway({ policy: POLICY.replace('http://localhost:8080', 'ORIGIN') })
  try {
    const answer = await fetch(`${gateway.origin}/api/books/7`, { method: 'POST' })
    const id = answer.headers.get('x-request-id')!
    const record = await gateway.recordOf(({ requestId }) => requestId === id)
    const odd = { ...record, requestId: 'odd', path: '/\u001b[2J\u0007x' }
    const lines = [{ level: 'info', ...record }, odd].map((line) => JSON.stringify(line))
    writeFileSync(join(folder, 'access.log'), `not JSON\n${lines.join('\n')}\n`)
    const found = await postern(['explain', '--request', id, '--log', 'access.log'])
    expect(found.stdout).toMatch(
      /^401 credential\.missing {2}\/api\/books\/\*\* {2}test\.yaml:8\n {2}POST \/api\/books\/7 at /,
    )
    expect(found.stdout).toMatch(/\n {2}role +needs editor/)
    expect(found.stdout).toContain('to pass: sign in\n')
    expect(found.status).toBe(0)
    const json = await postern(['explain', '--request', id, '--log', 'access.log', '--json'])
    expect(JSON.parse(json.stdout)).toMatchObject({ requestId: id, reason: 'credential.missing' })
    // What a client sent never moves the terminal of who reads it.
    expect((await postern(['explain', '--request', 'odd', '--log', 'access.log'])).stdout).not.toMatch(
      /[\x00-\x09\x0b-\x1f]/,
    )
    const unknown = await postern(['explain', '--request', 'nobody-knows', '--log', 'access.log'])
    expect(unknown).toMatchObject({ status: 1, stdout: '' })
    expect(unknown.stderr).toContain('Another node may have decided it')
  } finally {
    await gateway.close()
  }
}, 120_000)

test('[FR-047] a URL is read as a client would read it, and what cannot be taken is told', async () => {
  const { stdout } = await explain('GET', 'http://localhost:8080?page=2')
  expect(stdout).toMatch(/^allow/)
  expect(stdout).toContain('http://127.0.0.1:5173/?page=2')
  expect(await explain('GET', '/', '--from', '10.0.0.1/8')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('is no address'),
  })
  expect(await explain('GET', '/', '--header', 'Host: a', '--header', 'host: b')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('given twice'),
  })
})

test.each([
  ['token', 'S3CRETS3CRET', 'Authorization: (as it came)'],
  ['cookie', 'theme=S3CRETS3CRET; postern.session_token=a.b', 'Cookie: (as it came)'],
])('[FR-047] a %s that is passed on is not printed', async (kind, secret, shown) => {
  const passed = POLICY.replace(
    '{ to: web, access: public }',
    '{ to: web, access: public, allowRequestHeaders: [Authorization] }',
  )
  writeFileSync(join(folder, 'passed.yaml'), passed)
  const asked = ['explain', 'GET', '/', `--${kind}`, '-', '--config', 'passed.yaml', '--data', 'passed-data']
  const { stdout, stderr } = await postern(asked, secret)
  expect(stdout).toContain(shown)
  expect(stdout + stderr + (await postern([...asked, '--json'], secret)).stdout).not.toContain('S3CRET')
})

test('[FR-047] the admin key follows no redirect', async () => {
  const asked: unknown[] = []
  const server = createServer((request, response) => {
    asked.push(request.url)
    response.writeHead(307, { location: '/elsewhere' }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await expect(askAdmin(url, 'bk_secret', 'some-id')).rejects.toThrow(/cannot be asked/)
  server.close()
  expect(asked).toEqual(['/v1/decisions/some-id'])
})

test('[FR-047] what the file says of a test cannot move a terminal', async () => {
  writeFileSync(join(folder, 'odd.yaml'), POLICY + FAILING.replace('alice writes', '"\\e]0;x\\a"'))
  const { stdout } = await postern(['test', 'odd.yaml'])
  expect(stdout).toContain('�]0;x�')
  expect(stdout).not.toContain('\x1b')
})
