/** Revoking by the admin API and by the command beside a running gateway: each kind ends what it names, on both databases, and says how soon. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { STORE_KINDS } from '../test/ports/identity.ts'
import { type AdminStage, createAdminStage } from '../test/support/admin.ts'
import { command, commandAlone } from '../test/support/command.ts'
import { tokenAt } from '../test/support/fleet.ts'
import { type PrivateServer, startRedis } from '../test/support/servers.ts'

type Headers = Readonly<Record<string, string>>

/** What is to be revoked, as the API and as the command name it, and what must be refused after. */
interface Case {
  readonly body: object
  readonly args: readonly string[]
  readonly input?: string
  readonly target: string
  readonly ended: readonly Headers[]
  /** Credentials that are none of its business. */
  readonly kept: readonly Headers[]
}

const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` })
const partOf = (token: string, at: number) =>
  JSON.parse(Buffer.from(token.split('.')[at]!, 'base64url').toString()) as Readonly<Record<string, string>>

let people = 0

async function person(stage: AdminStage) {
  people += 1
  const email = `p${people}@example.com`
  const { id, cookie } = await stage.signIn(email, true)
  let token = ''
  // Tokens are dated in whole seconds: one of the second in which everything ended is taken for one of before.
  const isGood = async () => {
    token = await tokenAt(stage.node, cookie)
    return (await stage.whoami(bearer(token))) === 200
  }
  await expect.poll(isGood, { timeout: 20_000, interval: 100 }).toBe(true)
  return { id, email, cookie: { cookie }, token }
}

const KINDS: Readonly<Record<string, (stage: AdminStage) => Promise<Case>>> = {
  async session(stage) {
    const { email, cookie, token } = await person(stage)
    const { sid } = partOf(token, 1)
    const other = (await stage.signIn(email, false)).cookie
    const body = { kind: 'session', id: sid }
    const args = ['session', sid!]
    return { body, args, target: `session:${sid}`, ended: [cookie, bearer(token)], kept: [{ cookie: other }] }
  },
  async user(stage) {
    const { id, email, cookie, token } = await person(stage)
    const key = { 'x-api-key': await stage.keyOf(email, []) }
    const other = await person(stage)
    const ended = [cookie, bearer(token), key]
    return { body: { kind: 'user', id }, args: ['user', email], target: `subject:${id}`, ended, kept: [other.cookie] }
  },
  async 'token of ours'(stage) {
    const { cookie, token } = await person(stage)
    const { jti } = partOf(token, 1)
    return {
      body: { kind: 'token', source: 'postern', id: jti },
      args: ['token', '-'],
      input: `${token}\n`,
      target: `token:postern:${jti}`,
      ended: [bearer(token)],
      kept: [cookie],
    }
  },
  async 'token of another issuer'(stage) {
    const [token, other] = await Promise.all(
      ['a', 'b'].map((jti) => stage.issuer.sign({ sub: 'job', jti: `${jti}${people}` })),
    )
    const { jti } = partOf(token!, 1)
    people += 1
    return {
      body: { kind: 'token', source: 'ci', id: jti },
      args: ['token', jti!, '--issuer', 'ci'],
      target: `token:ci:${jti}`,
      ended: [bearer(token!)],
      kept: [bearer(other!)],
    }
  },
  async 'subject of another issuer'(stage) {
    people += 1
    const name = `job-${people}`
    const [token, other] = await Promise.all([name, 'other'].map((sub) => stage.issuer.sign({ sub })))
    const id = `ci:${name}`
    return {
      ...{ body: { kind: 'user', id }, args: ['user', id], target: `subject:${id}` },
      ...{ ended: [bearer(token!)], kept: [bearer(other!)] },
    }
  },
  async key(stage) {
    const { email, cookie } = await person(stage)
    const key = await stage.keyOf(email, [])
    const { keys } = JSON.parse((await stage.call('GET', `/v1/keys`)).body) as { keys: { id: string }[] }
    const { id } = keys[0]!
    const ended = [{ 'x-api-key': key }]
    return { body: { kind: 'key', id }, args: ['key', id], target: `key:${id}`, ended, kept: [cookie] }
  },
  async 'kid of ours'(stage) {
    const { cookie, token } = await person(stage)
    const { kid } = partOf(token, 0)
    return {
      body: { kind: 'kid', source: 'postern', id: kid },
      args: ['kid', kid!, '--issuer', 'postern'],
      target: `kid:postern:${kid}`,
      ended: [bearer(token)],
      kept: [cookie],
    }
  },
  async 'issuer, ourselves'(stage) {
    const { cookie, token } = await person(stage)
    const foreign = await stage.issuer.sign({ sub: 'other' })
    return {
      body: { kind: 'issuer', source: 'postern' },
      args: ['issuer', 'postern'],
      target: 'issuer:postern',
      ended: [bearer(token)],
      kept: [cookie, bearer(foreign)],
    }
  },
  async 'issuer, another'(stage) {
    const { cookie } = await person(stage)
    const foreign = await stage.issuer.sign({ sub: 'other' })
    return {
      body: { kind: 'issuer', source: 'ci' },
      args: ['issuer', 'ci'],
      target: 'issuer:ci',
      ended: [bearer(foreign)],
      kept: [cookie],
    }
  },
  async all(stage) {
    const { email, cookie, token } = await person(stage)
    const key = { 'x-api-key': await stage.keyOf(email, []) }
    return {
      body: { kind: 'all' },
      args: ['all', '--yes'],
      target: 'everything',
      ended: [cookie, bearer(token), key],
      kept: [],
    }
  },
}

describe.each(STORE_KINDS)('on %s', (kind) => {
  let stage: AdminStage

  beforeAll(async () => {
    stage = await createAdminStage(kind)
  })
  afterAll(() => stage?.close())

  const isLetIn = async (headers: Headers) => (await stage.whoami(headers)) === 200
  const expectAll = async (all: readonly Headers[], isIn: boolean) => {
    for (const headers of all) expect([await isLetIn(headers), headers]).toEqual([isIn, headers])
  }

  const commands = Object.entries(KINDS).filter(([name]) => name !== 'all' && name !== 'issuer, another')
  // A process for each: the other kinds write the same row, whatever the database.
  const tried = kind === 'sqlite' ? commands : commands.slice(0, 2)
  for (const [name, make] of tried) {
    test(`[FR-037] the command revokes: ${name}`, async () => {
      const { args, input, target, ended, kept } = await make(stage)
      await expectAll([...ended, ...kept], true)
      // One of them reads its standard input, in a process that must end by itself.
      const how = input === undefined ? command : commandAlone
      const said = JSON.parse(await stage.fleet.command(['revoke', ...args, '--json'], input, how)) as object
      expect(said).toEqual({ revoked: target, sequences: [await stage.head()], carried: false, withinSeconds: 5 })
      for (const headers of ended) await expect.poll(() => isLetIn(headers), { timeout: 5000 }).toBe(false)
      await expectAll(kept, true)
      const on = (await stage.audit()).filter((row) => row.action.startsWith('revoke') && row.target === target)
      expect(on).toMatchObject([{ actor: 'cli', outcome: 'done', detail: String(await stage.head()) }])
    })
  }

  // Told before any database is asked, or by a look-up that is the same in both.
  if (kind === 'sqlite')
    test('[FR-037] the command says what is wrong, and then nothing has changed', async () => {
      const before = await stage.head()
      const rows = [
        [['all'], '--yes'],
        [['user', 'nobody'], 'no user'],
        [['token', 'x'], '--issuer'],
        [['token', 'x', '--issuer', 'nobody'], 'no issuer "nobody"'],
        [['token', '-'], 'No token'],
        [['issuer', 'nobody'], 'no issuer'],
        [['session'], 'Name the session'],
        [['door', 'x'], 'Name one of'],
      ] as const
      for (const [args, text] of rows) await expect(stage.fleet.command(['revoke', ...args])).rejects.toThrow(text)
      expect(await stage.head()).toBe(before)
    })

  test('[FR-037] a token that says another end or person than it has is revoked none the less', async () => {
    const token = await stage.issuer.sign({ sub: 'real', jti: 'same' })
    const forged = await stage.issuer.sign({ sub: 'somebody', jti: 'same', exp: 1 })
    await stage.fleet.command(['revoke', 'token', '-'], forged)
    const [entry] = (JSON.parse((await stage.call('GET', '/v1/revocations?limit=1')).body) as Listed).revocations
    expect(entry).toMatchObject({ name: 'token:ci:same', effect: 'end' })
    expect(Date.parse(entry!.expiresAt) - Date.now()).toBeGreaterThan(366 * 86_400_000)
    await expect.poll(() => isLetIn(bearer(token)), { timeout: 5000 }).toBe(false)
  })

  for (const [name, make] of Object.entries(KINDS)) {
    test(`[FR-037] the admin API revokes: ${name}`, async () => {
      const { body, target, ended, kept } = await make(stage)
      await expectAll([...ended, ...kept], true)
      const answer = await stage.call('POST', '/v1/revocations', body)
      expect(answer.status, answer.body).toBe(201)
      await expectAll(ended, false)
      await expectAll(kept, true)
      const isAlone = kind === 'sqlite'
      const said = { revoked: target, carried: isAlone, withinSeconds: isAlone ? 0 : 5 }
      const { sequences, ...rest } = JSON.parse(answer.body) as { sequences: number[] }
      expect(rest).toEqual(said)
      expect(sequences).toEqual([await stage.head()])
      expect(answer.headers['postern-revocation']).toBe(isAlone ? undefined : 'within=5s')
      const on = (await stage.audit()).at(-1)
      expect(on).toMatchObject({ target, outcome: 'done', detail: String(sequences[0]), clientAddress: '127.0.0.1' })
      expect(on?.actor).toMatch(/^\S+ key:\S+$/)
      const again = await stage.call('POST', '/v1/revocations', body)
      // Everything: the key that asked has ended too.
      expect(again.status).toBe(name === 'all' ? 401 : 201)
      await expectAll(ended, false)
    })
  }
})

interface Listed {
  readonly revocations: readonly { readonly sequence: number; readonly name: string; readonly expiresAt: string }[]
  readonly nextBefore: number | null
}

describe('with Redis', () => {
  let redis: PrivateServer
  let stage: AdminStage

  beforeAll(async () => {
    redis = await startRedis()
    stage = await createAdminStage('postgres', redis.url)
  })
  afterAll(async () => {
    await stage?.close()
    await redis?.close()
  })

  test('[FR-037] the list of entries is paged, newest first', async () => {
    for (const id of ['a', 'b', 'c']) await stage.call('POST', '/v1/revocations', { kind: 'session', id })
    const page = async (query: string) =>
      JSON.parse((await stage.call('GET', `/v1/revocations?${query}`)).body) as Listed
    const first = await page('limit=2')
    expect(first.revocations.map(({ name }) => name)).toEqual(['session:c', 'session:b'])
    expect((await page(`limit=1&before=${first.nextBefore}`)).revocations[0]!.name).toBe('session:a')
    for (const bad of ['limit=0', 'limit=1001', 'before=x', 'limit=-1']) {
      expect((await stage.call('GET', `/v1/revocations?${bad}`)).status, bad).toBe(400)
    }
  })

  test('[FR-037] told at once while Redis takes it, and within the bound while it does not', async () => {
    const revoke = async (id: string) => JSON.parse(await stage.fleet.command(['revoke', 'session', id, '--json']))
    expect(await revoke('a')).toMatchObject({ carried: true, withinSeconds: 0 })
    const up = await stage.call('POST', '/v1/revocations', { kind: 'session', id: 'a' })
    expect([up.status, up.headers['postern-revocation']]).toEqual([201, undefined])
    await redis.stop()
    expect(await revoke('b')).toMatchObject({ carried: false, withinSeconds: 5 })
    const second = ['admin', 'create', '--email', 'second@example.com', '--password-stdin']
    await expect(stage.fleet.command(second, 'a long enough password\n')).resolves.toContain('role admin')
    const down = await stage.call('POST', '/v1/revocations', { kind: 'session', id: 'b' })
    expect([down.status, down.headers['postern-revocation']]).toEqual([201, 'within=5s'])
    const ready = await stage.call('GET', '/readyz')
    expect([ready.status, JSON.parse(ready.body).stores]).toEqual([200, { database: 'up', redis: 'down' }])
  })
})
