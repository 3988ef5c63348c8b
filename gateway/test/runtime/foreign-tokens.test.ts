/** Two issuers on real sockets behind a real gateway: never confused in policy, headers or log, and neither gains what is ours. */

import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { openAll } from '../../node/open.ts'
import { OPEN_POLICY, type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type IssuerKey, type LiveIssuer, signToken, startIssuer } from '../support/issuer.ts'
import { until } from '../support/until.ts'

const POLICY = `
version: 1
origin: ORIGIN
login: { signup: open, allowUnverifiedEmail: true }
admission: { perAddress: off }
tokens:
  ci:
    issuer: CI
    audience: books
    roles: [deployer]
    claims: { email: email, name: name, groups: groups, department: org.department }
    mfa: { amr: [otp], acr: [gold] }
    keyCache: { cooldown: 1s }
    introspection: { clientId: gateway, clientSecret: "\${env:SECRET}", prefix: op_ }
  hr: { issuer: HR, audience: books, roles: [reader], claims: { email: email } }
  staff: { issuer: STAFF, audience: books, subjects: local, roles: [deployer] }
  gone: { issuer: "http://127.0.0.1:1", audience: books, keyCache: { timeout: 100ms } }
upstreams:
  up: { url: UPSTREAM }
routes:
  /**: { to: up, access: public }
  /api/whoami: { to: up, access: login }
  /deploy: { to: up, access: { role: deployer } }
  /read: { to: up, access: { role: reader } }
  /admin: { to: up, access: { role: admin } }
  /mine/:user: { to: up, access: { when: "params.user == user.id" } }
  /staff: { to: up, access: { group: staff, claim: { department: [eng, ops] } } }
  /eng: { to: up, access: { when: "user.claims.department == 'eng'" } }
  /not-eng: { to: up, access: { not: { claim: { department: eng } } } }
  /vault: { to: up, access: { mfa: true, fresh: 15m } }
  /mail: { to: up, access: { email: ada@example.com } }
`

let upstream: Upstream
let issuers: Record<'ci' | 'hr' | 'staff', LiveIssuer>
let keys: Record<'ci' | 'hr' | 'staff', IssuerKey>
let gateway: TestGateway
let ada: SignedIn

beforeAll(async () => {
  upstream = await startUpstream({ record: true })
  const [ci, hr, staff] = await Promise.all([startIssuer(), startIssuer(), startIssuer()])
  issuers = { ci, hr, staff }
  keys = { ci: await ci.addKey('k1'), hr: await hr.addKey('k1'), staff: await staff.addKey('k1') }
  gateway = await startTestGateway({
    policy: POLICY.replace('CI', ci.url).replace('HR', hr.url).replace('STAFF', staff.url),
    upstreamUrl: upstream.url,
    env: { SECRET: 'a client secret' },
  })
  ada = await signIn(gateway, 'ada@example.com', ['admin'])
}, 60_000)

afterAll(async () => {
  await gateway?.close()
  for (const issuer of Object.values(issuers ?? {})) await issuer.close()
  await upstream?.close()
})

beforeEach(() => upstream.forget())

const tokenOf = (name: 'ci' | 'hr' | 'staff', claims: object = {}, header: object = {}) =>
  signToken(keys[name], { iss: issuers[name].url, ...claims }, header)

async function ask(path: string, token: string, headers: Record<string, string> = {}) {
  const { statusCode, body } = await request(gateway.url + path, {
    headers: { host: new URL(gateway.origin).host, authorization: `Bearer ${token}`, ...headers },
  })
  return { status: statusCode, body: await body.text() }
}

/** Header lines the upstream got, as bytes. */
const received = () =>
  upstream
    .recordings()
    .map((bytes) => bytes.toString('latin1'))
    .join('')

test('[FR-038] equal sub and equal kid: each is itself in headers, assertion and log, and the token stays here', async () => {
  for (const name of ['ci', 'hr'] as const) {
    upstream.forget()
    const token = await tokenOf(name, { jti: 'same' })
    expect((await ask('/api/whoami', token)).status).toBe(200)
    const bytes = received()
    expect(bytes).toMatch(new RegExp(`^X-Forwarded-User: ${name}:job-7\r$`, 'm'))
    expect(bytes).toMatch(new RegExp(`^X-Forwarded-Preferred-Username: ${name}:job-7\r$`, 'm'))
    expect(bytes).not.toContain(token)
    const assertion = /^X-Postern-Assertion: \S+?\.(\S+?)\./m.exec(bytes)![1]!
    expect(JSON.parse(Buffer.from(assertion, 'base64url').toString())).toMatchObject({ sub: `${name}:job-7` })
    await gateway.recordOf(({ subject }) => subject === `${name}:job-7`)
  }
})

test('[FR-038] each confers its own roles alone', async () => {
  const claims = { roles: ['deployer', 'reader', 'admin'] }
  const [ci, hr] = await Promise.all([tokenOf('ci', claims), tokenOf('hr', claims)])
  const statuses = async (token: string) => [
    (await ask('/deploy', token)).status,
    (await ask('/read', token)).status,
    (await ask('/admin', token)).status,
  ]
  const [isLetIn, isNot] = [expect.not.toSatisfy((status: number) => status === 403), 403]
  expect(await statuses(ci)).toEqual([isLetIn, isNot, isNot])
  expect(await statuses(hr)).toEqual([isNot, isLetIn, isNot])
})

test('[FR-039] what an entry maps is asked for by its name here, of its own tokens alone; what is missing lets nobody in', async () => {
  const org = { groups: ['staff'], org: { department: 'eng' } }
  const tokens = [
    await tokenOf('ci', org),
    await tokenOf('ci', { groups: ['staff'] }),
    await tokenOf('hr', org),
    ada.token,
  ]
  const letIn = async (path: string) =>
    Promise.all(tokens.map(async (token) => ![401, 403].includes((await ask(path, token)).status)))
  expect(await letIn('/api/whoami')).toEqual([true, true, true, true])
  expect(await letIn('/staff')).toEqual([true, false, false, false])
  expect(await letIn('/eng')).toEqual([true, false, false, false])
  expect(await letIn('/not-eng')).toEqual([false, false, false, false])
  expect((await ask('/not-eng', await tokenOf('ci', { org: { department: 'hr' } }))).status).not.toBe(403)
})

test('[FR-040] a second factor is what the entry names, and no other', async () => {
  const now = Math.floor(Date.now() / 1000)
  const status = async (name: 'ci' | 'hr', claims: object) => (await ask('/vault', await tokenOf(name, claims))).status
  expect(await status('ci', { amr: ['pwd', 'otp'], auth_time: now })).not.toBe(401)
  expect(await status('ci', { acr: 'gold', auth_time: now })).not.toBe(401)
  expect(await status('ci', { amr: ['pwd', 'otp'] })).toBe(401)
  expect(await status('ci', { amr: ['pwd', 'otp'], auth_time: now - 1000 })).toBe(401)
  expect(await status('ci', { amr: ['mfa'], acr: 'silver', auth_time: now })).toBe(401)
  expect(await status('hr', { amr: ['otp'], acr: 'gold', auth_time: now })).toBe(401)
})

test('[FR-038] a sub equal to the id of our admin gains nothing of theirs', async () => {
  const token = await tokenOf('ci', { sub: ada.id, roles: ['admin'], sid: 's', email: 'x@example.com' })
  expect((await ask(`/mine/${ada.id}`, token)).status).toBe(403)
  expect((await ask('/admin', token)).status).toBe(403)
  expect((await ask(`/mine/ci:${ada.id}`, token)).status).not.toBe(403)
  expect((await ask('/api/whoami', token, { cookie: ada.cookie })).status).toBe(400)
})

test('[FR-038] an e-mail of theirs is never a login name', async () => {
  const token = await tokenOf('ci', { email: 'ada@example.com', email_verified: true, name: 'ada', groups: ['g'] })
  expect((await ask('/api/whoami', token)).status).toBe(200)
  expect(received()).toMatch(/^X-Forwarded-Email: ada@example.com\r$/m)
  expect(received()).toMatch(/^X-Forwarded-Preferred-Username: ci:job-7\r$/m)
  expect(received()).not.toMatch(/^X-Forwarded-Preferred-Username: ada/m)
})

test('[FR-038] subjects: local is our user by our own row, or nobody', async () => {
  const token = await tokenOf('staff', { sub: ada.id, roles: ['admin', 'deployer'], email: 'x@example.com' })
  expect((await ask(`/mine/${ada.id}`, token)).status).not.toBe(403)
  expect((await ask('/admin', token)).status).toBe(403)
  upstream.forget()
  expect((await ask('/api/whoami', token)).status).toBe(200)
  expect(received()).toMatch(/^X-Forwarded-Preferred-Username: ada@example.com\r$/m)
  expect((await ask('/api/whoami', await tokenOf('staff', { sub: 'nobody' }))).status).toBe(401)
})

test('[FR-028] a key of one never opens a door in the name of the other, nor in ours', async () => {
  for (const iss of [issuers.hr.url, gateway.origin]) {
    expect((await ask('/api/whoami', await tokenOf('ci', { iss }))).status).toBe(401)
  }
  expect((await ask('/api/whoami', ada.token)).status).toBe(200)
})

test('[FR-029] a new key is picked up without a failed request, an issuer that is down is 503, and others do not notice', async () => {
  const next = await issuers.hr.addKey('k2')
  expect((await ask('/api/whoami', await signToken(next, { iss: issuers.hr.url }))).status).toBe(200)
  expect((await ask('/api/whoami', await tokenOf('hr'))).status).toBe(200)
  const gone = await signToken(next, { iss: 'http://127.0.0.1:1' })
  expect((await ask('/api/whoami', gone)).status).toBe(503)
  expect((await ask('/', gone)).status).toBe(200)
  await until(() => gateway.faults.some((fault) => String(fault).includes('tokens.gone')), 'a line about the issuer')
})

test('[FR-029] what a key verified is verified again once the key is published no more', async () => {
  const spare = await issuers.ci.addKey('spare')
  const token = await signToken(spare, { iss: issuers.ci.url })
  expect((await ask('/api/whoami', token)).status).toBe(200)
  issuers.ci.published.pop()
  const stranger = await tokenOf('ci', {}, { kid: 'makes-it-read' })
  const hits = issuers.ci.hits('/keys')
  await until(() => {
    void ask('/api/whoami', stranger)
    return issuers.ci.hits('/keys') > hits
  }, 'another read of the keys')
  let status = 200
  for (let at = 0; at < 100 && status === 200; at += 1) status = (await ask('/api/whoami', token)).status
  expect(status).toBe(401)
})

test('[FR-030] an opaque token is asked about, and speaks for a stranger too', async () => {
  const exp = Math.floor(Date.now() / 1000) + 60
  issuers.ci.tokens.set('op_1', { active: true, sub: ada.id, aud: 'books', exp, roles: ['admin', 'deployer'] })
  expect((await ask('/api/whoami', 'op_1')).status).toBe(200)
  expect(received()).toMatch(new RegExp(`^X-Forwarded-User: ci:${ada.id}\r$`, 'm'))
  expect((await ask('/admin', 'op_1')).status).toBe(403)
  expect((await ask('/api/whoami', 'op_2')).status).toBe(401)
  expect(JSON.stringify(gateway.records)).not.toContain('op_1')
})

test('[FR-034] a token that is revoked by command is refused, and one of the other issuer with its jti is not', async () => {
  const [ofCi, ofHr] = await Promise.all([tokenOf('ci', { jti: 'j8' }), tokenOf('hr', { jti: 'j8' })])
  for (const token of [ofCi, ofHr]) expect((await ask('/api/whoami', token)).status).toBe(200)
  const command = await openAll({
    policy: {
      text: OPEN_POLICY.replace('ORIGIN', gateway.origin).replace('UPSTREAM', upstream.url),
      file: 'test.yaml',
    },
    env: {},
    dataDir: gateway.dataDir,
    journal: { record() {}, fault() {}, note() {}, audit() {}, async flush() {} },
    isCommand: true,
  })
  const subject = 'ci:job-7'
  await command.identity.revoker.revoke({ kind: 'token', source: 'ci', tokenId: 'j8', subject, expiresAtMs: null })
  await command.close()
  let status = 200
  const endsAtMs = performance.now() + 5000
  while (status === 200 && performance.now() < endsAtMs) status = (await ask('/api/whoami', ofCi)).status
  expect(status).toBe(401)
  expect((await ask('/api/whoami', ofHr)).status).toBe(200)
})
