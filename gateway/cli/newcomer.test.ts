/** `postern init`, `token`, `doctor`, `schema` and completion as somebody new types them, beside a real gateway. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { command, commandAlone } from '../test/support/command.ts'
import { startTestGateway, type TestGateway } from '../test/support/gateway.ts'

const POLICY = `
version: 1
origin: ORIGIN
keys: {}
upstreams: { app: { url: UPSTREAM, assertion: false } }
routes:
  /open: { to: app, access: public }
  /**: { to: app, access: login }
  /editors: { to: app, access: { role: editor, mfa: true, fresh: 15m } }
  /programs: { to: app, access: { with: key, scope: chat } }
people:
  alice: { id: u_1, email: alice@example.com, roles: [reader] }
  ed: { id: u_2, roles: [editor], mfa: true, signedIn: 2m ago, with: token }
  stale: { id: u_3, roles: [editor], mfa: true, signedIn: 20m ago }
  robot: { key: robot-1, owner: alice, scopes: [chat] }
  builder: { token: ci, sub: job-7 }
tokens: { ci: { issuer: "https://ci.example.com", audience: a } }
`

let folder: string
let upstream: Server
let gateway: TestGateway
let policyFile: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-newcomer-'))
  upstream = createServer((request, response) => response.end(JSON.stringify(request.headers)))
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  // Keys of an issuer that nobody reaches are no reason not to start.
  gateway = await startTestGateway({ policy: POLICY, upstreamUrl })
  policyFile = join(folder, 'policy.yaml')
  writeFileSync(policyFile, POLICY.replace('ORIGIN', gateway.origin).replace('UPSTREAM', upstreamUrl))
}, 60_000)

afterAll(async () => {
  await gateway.close()
  upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

const given = (input = '') => ({ cwd: folder, env: { ...process.env, NODE_ENV: 'test', NO_COLOR: '1' }, input })

function postern(...words: readonly string[]) {
  return command(words, given())
}

const token = (person: string, ...options: readonly string[]) =>
  postern('token', person, '--config', policyFile, '--data', gateway.dataDir, ...options)

async function get(path: string, header: string, value: string): Promise<{ status: number; body: string }> {
  const response = await fetch(gateway.origin + path, { headers: { [header]: value } })
  return { status: response.status, body: await response.text() }
}

for (const access of ['login', 'read', 'public']) {
  test(`[FR-052] init writes a policy for ${access} that loads and passes its own tests`, async () => {
    const file = join(folder, `${access}.yaml`)
    const words = ['init', file, '--upstream', 'http://127.0.0.1:9000', '--access', access]
    const made = await (access === 'login' ? commandAlone : command)(words, given())
    expect(made, made.stderr).toMatchObject({ status: 0 })
    const tested = await postern('test', file)
    expect(tested.status, tested.stdout + tested.stderr).toBe(0)
    expect(readFileSync(file, 'utf8')).toContain('$schema=./gateway.schema.json')
  }, 60_000)
}

test('[FR-052] beside the policy init leaves the schema for editors, which a command prints too', async () => {
  await postern('init', join(folder, 'fresh.yaml'), '--upstream', 'http://127.0.0.1:9000')
  expect(readFileSync(join(folder, 'gateway.schema.json'), 'utf8')).toBe((await postern('schema')).stdout)
}, 60_000)

test('[FR-052] init replaces nothing unasked, and says what it needs where nobody can be asked', async () => {
  const file = join(folder, 'kept.yaml')
  writeFileSync(file, 'mine')
  const refused = await postern('init', file, '--upstream', 'http://127.0.0.1:9000')
  expect(refused).toMatchObject({ status: 2, stdout: '' })
  expect(readFileSync(file, 'utf8')).toBe('mine')
  const silent = await postern('init', join(folder, 'other.yaml'))
  expect(silent.stderr).toContain('--upstream')
  const nonsense = await postern('init', join(folder, 'other.yaml'), '--upstream', 'nowhere')
  expect(nonsense.stderr).toMatch(/Write scheme, host and port/)
  expect(nonsense.status).toBe(2)
}, 60_000)

test('[FR-052] a token is good at the gateway, for what its person may do', async () => {
  const itself = ['token', 'alice', '--config', policyFile, '--data', gateway.dataDir]
  const alice = (await commandAlone(itself, given())).stdout.trim()
  const seen = await get('/anything', 'authorization', `Bearer ${alice}`)
  expect(JSON.parse(seen.body)).toMatchObject({ 'x-forwarded-user': 'u_1', 'x-forwarded-email': 'alice@example.com' })
  expect((await get('/editors', 'authorization', `Bearer ${alice}`)).status).toBe(403)

  const ed = JSON.parse((await token('ed', '--json')).stdout) as { header: string; value: string }
  expect(ed.value.split('.')).toHaveLength(3)
  expect((await get('/editors', ed.header, `Bearer ${ed.value}`)).status).toBe(200)

  const stale = (await token('stale', '--jwt')).stdout.trim()
  const late = await get('/editors', 'authorization', `Bearer ${stale}`)
  expect(JSON.parse(late.body)).toMatchObject({ status: 401, code: 'insufficient-user-authentication' })

  const robot = (await token('robot')).stdout.trim()
  expect((await get('/programs', 'x-api-key', robot)).status).toBe(200)
  expect((await get('/editors', 'x-api-key', robot)).status).toBe(403)
}, 60_000)

test('[FR-052] a token still counts after the next one of the same person, and after one of its key', async () => {
  const first = (await token('alice')).stdout.trim()
  const next = (await token('alice', '--jwt')).stdout.trim()
  await token('robot')
  for (const credential of [first, next]) {
    const asked = ['explain', 'GET', '/anything', '--token', '-', '--config', policyFile, '--data', gateway.dataDir]
    const { stdout } = await command(asked, given(credential))
    expect(stdout).toMatch(/^allow {2}\/\*\*/)
  }
}, 60_000)

test('[FR-052] no token for somebody unknown, of another issuer, or for a gateway that others reach', async () => {
  const unknown = await token('nadia')
  expect(unknown).toMatchObject({ status: 1, stdout: '' })
  expect(unknown.stderr).toContain('alice, ed, stale, robot, builder')
  expect((await token('builder')).stderr).toContain('which alone can make one')
  const elsewhere = join(folder, 'elsewhere.yaml')
  const text = readFileSync(policyFile, 'utf8').replace(gateway.origin, 'http://books.internal')
  writeFileSync(elsewhere, text)
  const refused = await postern('token', 'alice', '--config', elsewhere, '--data', join(folder, 'other-data'))
  expect(refused).toMatchObject({ status: 1, stdout: '' })
  expect(refused.stderr).toContain('for a gateway on this machine')
}, 60_000)

const examine = async (file: string, options: readonly string[] = ['--yes'], how = command) => {
  const words = ['doctor', '--config', file, '--data', gateway.dataDir, '--json', ...options]
  const run = await how(words, given())
  return { ...run, findings: JSON.parse(run.stdout) as { about: string; verdict: string; message: string }[] }
}

test('[FR-052] doctor asks nobody without --yes, and finds a sound gateway sound', async () => {
  let asked = 0
  upstream.on('request', () => {
    asked += 1
  })
  const before = await examine(policyFile, [])
  expect({ asked, status: before.status }).toEqual({ asked: 0, status: 0 })
  expect(before.stderr).toContain('--yes')
  const { findings, status, stderr } = await examine(policyFile, ['--yes'], commandAlone)
  expect(status, stderr).toBe(0)
  expect(asked).toBeGreaterThan(0)
  expect(findings.filter(({ verdict }) => verdict === 'wrong')).toEqual([])
  expect(findings).toContainEqual(
    expect.objectContaining({ about: 'gateway', message: 'a forged identity was not seen by the upstream of /open' }),
  )
}, 60_000)

test('[FR-052] doctor finds an upstream that can be reached around the gateway and believes anybody', async () => {
  const open = createServer((request, response) => response.end(JSON.stringify(request.headers)))
  await new Promise<void>((resolve) => open.listen(0, '0.0.0.0', resolve))
  const file = join(folder, 'open.yaml')
  const url = `http://127.0.0.1:${(open.address() as AddressInfo).port}`
  writeFileSync(file, readFileSync(policyFile, 'utf8').replace(/http:\/\/127\.0\.0\.1:\d+/, url))
  const { findings } = await examine(file)
  open.close()
  const verdicts = findings.filter(({ about }) => about === 'upstream app').map(({ verdict }) => verdict)
  // A machine without a network has no other way in.
  const isAlone = !findings.some(({ message }) => message.includes('around the gateway'))
  expect(verdicts).toContain(isAlone ? 'good' : 'wrong')
}, 60_000)

test('[FR-052] doctor names what does not answer, with a cure', async () => {
  const file = join(folder, 'down.yaml')
  const down = readFileSync(policyFile, 'utf8').replace(/http:\/\/127\.0\.0\.1:\d+/, 'http://127.0.0.1:9')
  writeFileSync(file, down.replace('version: 1', 'version: 1\nstore: { redis: "redis://127.0.0.1:9" }'))
  const { findings, status } = await examine(file)
  expect(status).toBe(1)
  const wrong = findings.filter(({ verdict }) => verdict === 'wrong')
  expect(wrong.map(({ about }) => about)).toEqual(expect.arrayContaining(['Redis', 'upstream app', 'secret']))
  expect(wrong.every((finding) => 'cure' in finding && finding.cure !== '')).toBe(true)
}, 60_000)

test('[FR-052] shells complete commands and their options', async () => {
  expect((await commandAlone(['complete', 'bash'], given())).stdout).toContain('postern')
  expect((await postern('complete', '--', '')).stdout).toMatch(/^explain\t/m)
  expect((await postern('complete', '--', 'keys', '')).stdout).toMatch(/^create\t/m)
}, 60_000)

test('[FR-052] a command that does not exist is 2, with a near word', async () => {
  const { status, stderr } = await postern('chek')
  expect(status).toBe(2)
  expect(stderr).toContain('Did you mean check?')
}, 30_000)
