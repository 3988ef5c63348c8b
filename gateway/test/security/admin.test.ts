/** The doors of the admin API, on real sockets and both databases: who is kept out, what is on record, and what is not done when it cannot be. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { askAdmin, readDecisionFromLog } from '../../cli/decision-source.ts'
import { STORE_KINDS } from '../ports/identity.ts'
import { ADMIN_EMAIL, type AdminStage, createAdminStage } from '../support/admin.ts'
import { tokenAt } from '../support/fleet.ts'
import { until } from '../support/until.ts'

const BODY = { kind: 'session', id: 'somebody-elses' }

describe.each(STORE_KINDS)('on %s', (kind) => {
  let stage: AdminStage

  beforeAll(async () => {
    stage = await createAdminStage(kind)
  })
  afterAll(() => stage?.close())

  const send = async (
    headers: Readonly<Record<string, string>>,
    path = '/v1/revocations',
    body: string | null = null,
  ) => {
    const answer = await request(stage.node.adminUrl + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: body ?? JSON.stringify(BODY),
    })
    const text = await answer.body.text()
    return {
      status: answer.statusCode,
      headers: answer.headers,
      ...(JSON.parse(text) as { code: string; requestId: string }),
    }
  }
  const refusalOf = async (requestId: string) => (await stage.audit()).find((row) => row.requestId === requestId)
  /** A cookie holds the signed session token, percent-encoded. */
  const bearerOf = (cookie: string) => `Bearer ${decodeURIComponent(cookie.split('=')[1]!.split(';')[0]!)}`

  interface Door {
    readonly name: string
    readonly status: number
    readonly reason: string
    headers(): Promise<Readonly<Record<string, string>>>
  }
  const foreign = (claims: object) =>
    stage.issuer.sign({ sub: 'root', jti: 'x', roles: ['admin'], scope: 'admin', ...claims })
  const doors: readonly Door[] = [
    { name: 'nobody', status: 401, reason: 'credential.missing', headers: async () => ({}) },
    {
      name: 'a key that was never made',
      status: 401,
      reason: 'key.unknown',
      headers: async () => ({ 'x-api-key': `bk_${'A'.repeat(64)}` }),
    },
    {
      name: 'the key of a user, with the scope admin',
      status: 403,
      reason: 'role.missing',
      async headers() {
        await stage.signIn('user@example.com', true)
        return { 'x-api-key': await stage.keyOf('user@example.com', ['admin']) }
      },
    },
    {
      name: 'the key of an admin, without the scope',
      status: 403,
      reason: 'scope.missing',
      headers: async () => ({ 'x-api-key': await stage.keyOf(ADMIN_EMAIL, ['books:read']) }),
    },
    {
      name: 'the cookie of an admin',
      status: 401,
      reason: 'credential.missing',
      headers: async () => ({ cookie: (await stage.signIn(ADMIN_EMAIL, false)).cookie, origin: stage.fleet.origin }),
    },
    {
      name: 'the fresh session of an admin, by password alone',
      status: 403,
      reason: 'admin.one-factor',
      headers: async () => ({ authorization: bearerOf((await stage.signIn(ADMIN_EMAIL, false)).cookie) }),
    },
    {
      name: 'the session of a user',
      status: 403,
      reason: 'role.missing',
      headers: async () => ({ authorization: bearerOf((await stage.signIn('two@example.com', true)).cookie) }),
    },
    {
      name: 'a token of ours that is an admin’s',
      status: 401,
      reason: 'token.malformed',
      async headers() {
        const { cookie } = await stage.signIn(ADMIN_EMAIL, false)
        return { authorization: `Bearer ${await tokenAt(stage.node, cookie)}` }
      },
    },
    {
      name: 'a token of another issuer with the role and scope admin',
      status: 401,
      reason: 'token.malformed',
      headers: async () => ({ authorization: `Bearer ${await foreign({})}` }),
    },
    {
      name: 'a good key beside a bearer',
      status: 400,
      reason: 'credential.duplicate',
      headers: async () => ({ 'x-api-key': stage.key, authorization: 'Bearer x' }),
    },
    {
      name: 'another scheme',
      status: 401,
      reason: 'credential.scheme',
      headers: async () => ({ authorization: `Basic ${stage.key}` }),
    },
    {
      name: 'a good key under a name that only points here',
      status: 421,
      reason: 'authority.unknown',
      headers: async () => ({ 'x-api-key': stage.key, host: 'rebound.example.com' }),
    },
    {
      name: 'a good key under the public name',
      status: 421,
      reason: 'authority.unknown',
      headers: async () => ({ 'x-api-key': stage.key, host: new URL(stage.fleet.origin).host }),
    },
  ]
  for (const { name, status, reason, headers } of doors) {
    test(`[FR-037] ${name}: refused, on record, and nothing done`, async () => {
      const sent = await headers()
      const before = await stage.head()
      const answer = await send(sent)
      expect(answer.status).toBe(status)
      expect(answer.headers['content-type']).toBe('application/problem+json')
      expect(answer.headers['set-cookie']).toBeUndefined()
      await expect.poll(() => refusalOf(answer.requestId)).toMatchObject({ outcome: 'refused', detail: reason })
      expect(await stage.head()).toBe(before)
    })
  }

  test('[FR-037] a session is let in once it has a second factor, and only while it is fresh', async () => {
    const set = async (secondsAgo: number, amr: string) => {
      const { cookie } = await stage.signIn(ADMIN_EMAIL, false)
      const authorization = bearerOf(cookie)
      const token = authorization.slice(7).split('.')[0]!
      const at = kind === 'sqlite' ? "datetime('now', $1)" : 'now() + cast($1 as interval)'
      await stage.database.query(`update session set "authenticatedAt" = ${at}, amr = $2 where token = $3`, [
        `${-secondsAgo} seconds`,
        amr,
        token,
      ])
      return send({ authorization })
    }
    expect(await set(60, 'pwd otp')).toMatchObject({ status: 201 })
    expect(await set(901, 'pwd otp')).toMatchObject({ status: 403, code: 'fresh-login-required' })
    expect(await set(-3600, 'pwd otp')).toMatchObject({ status: 403, code: 'fresh-login-required' })
    for (const amr of ['pwd', 'pwd remembered', 'social', '']) {
      expect(await set(60, amr), amr).toMatchObject({ status: 403, code: 'second-factor-required' })
    }
  })

  test('[FR-037] what may not be said is said: type, fields, values, size, paths, methods', async () => {
    const good = { 'x-api-key': stage.key }
    const before = await stage.head()
    const rows = [
      [{ 'content-type': 'text/plain' }, null, 415],
      [{}, '{', 400],
      [{}, '{"kind":"session","id":"a","also":1}', 400],
      [{}, '{"kind":"session"}', 400],
      [{}, '{"kind":"everything"}', 400],
      [{}, '{"kind":"token","source":"nobody","id":"a"}', 400],
      [{}, JSON.stringify({ kind: 'user', id: ADMIN_EMAIL }), 400],
      [{}, '{"kind":"user","id":"nobody:job"}', 400],
      [{}, '{"kind":"user","id":"ci:a\\u0000"}', 400],
      [{}, '{"kind":"user","id":"postern:job"}', 400],
      [{}, '{"kind":"token","source":"ci","id":"a","expiresAt":"soon"}', 400],
      [{}, JSON.stringify({ kind: 'session', id: 'a'.repeat(70_000) }), 413],
    ] as const
    for (const [headers, body, status] of rows) {
      expect((await send({ ...good, ...headers }, '/v1/revocations', body)).status, `${body}`.slice(0, 80)).toBe(status)
    }
    for (const [path, status] of [
      ['/v1/nothing', 404],
      ['/', 404],
      ['/api/auth/sign-in/email', 404],
      ['/v1/status', 405],
      ['//v1/revocations', 400],
      ['/V1/revocations', 400],
      ['/v1%2frevocations', 400],
    ] as const) {
      expect((await send(good, path)).status, path).toBe(status)
    }
    expect(await stage.head()).toBe(before)
    const lost = await send(good, '/v1/nothing')
    const by = { actor: expect.stringContaining(' key:'), outcome: 'refused', target: '/v1/nothing' }
    expect(await refusalOf(lost.requestId)).toMatchObject(by)
  })

  test('[FR-031] a key has its own limit here too, and what it was refused is on record', async () => {
    const args = ['--owner', ADMIN_EMAIL, '--name', 'slow', '--scope', 'admin', '--limit', '2/h', '--json']
    const { key } = JSON.parse(await stage.fleet.command(['keys', 'create', ...args])) as { key: string }
    const ask = () => stage.node.admin('GET', '/v1/status', key)
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 200])
    const before = await stage.head()
    const refused = await send({ 'x-api-key': key })
    expect(refused).toMatchObject({ status: 429, code: 'too-many-requests' })
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
    expect(await stage.head()).toBe(before)
    expect(await refusalOf(refused.requestId)).toMatchObject({ outcome: 'refused', detail: 'key.limit' })
  })

  test('[FR-037] keys are made, listed and ended; the text of a key is nowhere but in the answer', async () => {
    const { id: owner } = await stage.signIn('keys@example.com', true)
    const made = await stage.call('POST', '/v1/keys', { owner, name: 'ci', scopes: ['books:read'], limit: '100/min' })
    expect(made.status).toBe(201)
    const { id, key } = JSON.parse(made.body) as { id: string; key: string }
    expect(await stage.whoami({ 'x-api-key': key })).toBe(200)
    const listed = await stage.call('GET', `/v1/keys?owner=${owner}`)
    expect(JSON.parse(listed.body)).toEqual({
      keys: [{ id, name: 'ci', owner, scopes: ['books:read'], expiresAt: null }],
    })
    for (const row of [JSON.stringify(await stage.audit()), listed.body, stage.node.output()]) {
      expect(row).not.toContain(key)
      expect(row).not.toContain(stage.key)
    }
    expect((await stage.call('DELETE', `/v1/keys/${id}`)).status).toBe(200)
    expect(await stage.whoami({ 'x-api-key': key })).toBe(401)
    expect((await stage.call('DELETE', `/v1/keys/${id}`)).status).toBe(200)
    expect((await stage.call('POST', '/v1/keys', { owner: 'nobody', name: 'x' })).status).toBe(400)
    const past = { owner, name: 'x', expiresAt: '2020-01-01T00:00:00Z' }
    expect((await stage.call('POST', '/v1/keys', past)).status).toBe(400)
    const far = await stage.call('POST', '/v1/keys', { owner, name: 'x', expiresAt: '2199-01-01T00:00:00Z' })
    expect([far.status, far.body]).toEqual([400, expect.stringContaining('3650 days')])
    expect((await stage.call('GET', '/v1/keys?owner=%00')).status).toBe(400)
  })

  test('[FR-037] figures and readiness are told to an admin alone', async () => {
    for (const path of ['/v1/status', '/readyz', '/metrics', '/v1/keys', '/v1/revocations']) {
      expect((await stage.node.admin('GET', path, 'bk_no')).status, path).toBe(401)
      expect((await stage.call('GET', path)).status, path).toBe(200)
    }
    const status = JSON.parse((await stage.call('GET', '/v1/status')).body)
    expect(status).toMatchObject({ log: { isFresh: true }, stores: { database: 'up', redis: 'none' } })
    expect(status.log.sequence).toBe(await stage.head())
    expect(status.limits).toEqual({ isShared: false, nodes: 1 })
    expect(status.policy).toMatchObject({
      version: status.policyVersion,
      reloads: { done: 0, refused: 0 },
      lastReload: null,
    })
    expect(JSON.parse((await stage.call('GET', '/readyz')).body)).toMatchObject({ ready: true, policy: status.policy })
    const metrics = await stage.call('GET', '/metrics')
    expect(metrics.headers['content-type']).toMatch(/^text\/plain; version=/)
    expect(metrics.body).toContain(`postern_policy_info{sha256="${status.policyVersion}"} 1\n`)
  })

  test('[FR-051] why a request was refused is told by its id, to an admin alone', async () => {
    const user = await stage.signIn('why@example.com', true)
    const refused = await stage.node.send('GET', '/api/admin', { cookie: user.cookie })
    expect(refused.status).toBe(403)
    const id = String(refused.headers['x-request-id'])
    const decision = await askAdmin(stage.node.adminUrl, stage.key, id)
    expect(decision).toMatchObject({
      requestId: id,
      status: 403,
      reason: 'role.missing',
      route: '/api/admin',
      subject: user.id,
    })
    expect(decision?.place).toMatch(/^\S+\.yaml:\d+$/)
    expect(decision?.findings.find(({ key }) => key === 'role')).toMatchObject({ needed: 'admin', verdict: 'unmet' })
    expect(JSON.stringify(decision)).not.toContain(decodeURIComponent(user.cookie).split('=')[1]!.slice(0, 20))
    await until(() => stage.node.output().includes(id), 'the line is written')
    const folder = mkdtempSync(join(tmpdir(), 'postern-log-'))
    writeFileSync(join(folder, 'access.log'), stage.node.output())
    expect(await readDecisionFromLog(join(folder, 'access.log'), id)).toEqual(decision)
    rmSync(folder, { recursive: true })

    expect(await askAdmin(stage.node.adminUrl, stage.key, 'never')).toBe(null)
    const unknown = JSON.parse((await stage.call('GET', '/v1/decisions/never')).body)
    expect(unknown).toMatchObject({ status: 404, detail: expect.stringContaining('its log') })
    expect((await stage.node.admin('GET', `/v1/decisions/${id}`, 'bk_no')).status).toBe(401)
    expect((await stage.node.send('GET', `/v1/decisions/${id}`)).status).toBe(404)
    await expect(askAdmin(stage.node.adminUrl, 'bk_no', id)).rejects.toThrow(/answers 401 invalid-key/)
  })

  test('[FR-037] what cannot be put on record is not done', async () => {
    const before = await stage.head()
    await stage.database.query('alter table postern_audit rename to postern_audit_away')
    try {
      const answer = await stage.call('POST', '/v1/revocations', BODY)
      expect(answer.status).toBe(503)
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'cannot-decide', detail: 'Nothing was done.' })
      await expect(stage.fleet.command(['revoke', 'session', 'x'])).resolves.toContain('revoked')
    } finally {
      await stage.database.query('drop table if exists postern_audit')
      await stage.database.query('alter table postern_audit_away rename to postern_audit')
    }
    expect(await stage.head()).toBe(before + 1)
  })

  test('[FR-033] what is not durable is not acknowledged', async () => {
    await stage.database.query('alter table postern_revocation rename to postern_revocation_away')
    let answer: Awaited<ReturnType<AdminStage['call']>>
    try {
      answer = await stage.call('POST', '/v1/revocations', BODY)
    } finally {
      await stage.database.query('alter table postern_revocation_away rename to postern_revocation')
    }
    expect(answer.status).toBe(503)
    const { requestId } = JSON.parse(answer.body) as { requestId: string }
    expect(await refusalOf(requestId)).toMatchObject({ outcome: 'failed', action: 'revoke session' })
  })
})
