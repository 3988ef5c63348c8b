/** A policy is put in the place of another whole or not at all, and what is open lives on by the new one or ends. */

import { expect, test } from 'vitest'
import WebSocket from 'ws'
import { startUpstream } from '../../upstream-mock/server.ts'
import { createIssuer, ISSUER } from '../test/fleet/policy.ts'
import { signIn, startTestGateway, type TestGateway } from '../test/support/gateway.ts'
import { until } from '../test/support/until.ts'

const HEAD = `
version: 1
origin: ORIGIN
login: { allowUnverifiedEmail: true }
admission: { perAddress: off }
upstreams: { up: { url: UPSTREAM, assertion: false } }
`
const POLICY = `${HEAD}routes: { /api/whoami: { to: up, access: public }, /ws: { to: up, access: login } }\n`

async function withGateway(policy: string, work: (gateway: TestGateway) => Promise<void>): Promise<void> {
  const upstream = await startUpstream()
  const gateway = await startTestGateway({ policy, upstreamUrl: upstream.url })
  try {
    await work(gateway)
  } finally {
    await gateway.close()
    await upstream.close()
  }
}

const status = async (gateway: TestGateway, path: string, headers: Record<string, string> = {}) =>
  (await fetch(gateway.origin + path, { headers })).status

test('[FR-046] a new policy is in force for the next request, and its digits stand in each line of the log', () =>
  withGateway(POLICY, async (gateway) => {
    expect(await status(gateway, '/api/books')).toBe(404)
    expect(await gateway.put(POLICY.replace('/api/whoami', '/api/books'))).toEqual({
      outcome: 'done',
      problem: null,
      atMs: expect.any(Number),
    })
    expect([await status(gateway, '/api/books'), await status(gateway, '/api/whoami')]).toEqual([200, 404])
    const [before, after] = [gateway.records[0]!, gateway.records.at(-1)!]
    expect(before.policy).toMatch(/^[0-9a-f]{12}$/)
    expect(after.policy).not.toBe(before.policy)
    expect(gateway.notes).toContain(`policy ${after.policy} is in force, in place of ${before.policy}`)
  }))

const BAD = [
  ['that does not parse', 'routes: { /api/whoami', /test\.yaml:\d+:\d+/],
  ['with a misspelt key', `${POLICY}rotues: {}\n`, /did you mean|routes/],
  [
    'whose own test fails',
    `${POLICY}tests: [{ GET: /api/whoami, expect: 404 }]\n`,
    /1 of its 1 tests fails.*\n.*GET \/api\/whoami/,
  ],
  [
    'of another origin',
    POLICY.replace('origin: ORIGIN', 'origin: http://localhost:1'),
    /`origin` changed, which takes a restart/,
  ],
  [
    'with other sessions and keys',
    `${POLICY.replace('unverifiedEmail: true', '')}keys: { prefix: x_ }\n`,
    /`keys` changed/,
  ],
] as const

for (const [what, policy, problem] of BAD) {
  test(`[FR-046] a policy ${what} is refused whole, said once, and the old one serves on`, () =>
    withGateway(POLICY, async (gateway) => {
      for (let times = 0; times < 2; times++) {
        const refused = await gateway.put(policy)
        expect(refused.outcome).toBe('refused')
        expect(refused.problem).toMatch(problem)
        expect(await status(gateway, '/api/whoami')).toBe(200)
      }
      expect(gateway.notes.filter((note) => note.includes('refused, and'))).toHaveLength(1)
      expect(new Set(gateway.records.map((record) => record.policy)).size).toBe(1)
      expect((await gateway.put(POLICY)).outcome).toBe('same')
    }))
}

test('[FR-046] a policy that breaks its own tests starts, and says so', () =>
  withGateway(`${POLICY}tests: [{ GET: /api/whoami, expect: 404 }]\n`, async (gateway) => {
    expect(await status(gateway, '/api/whoami')).toBe(200)
    await until(
      () => gateway.notes.some((note) => /breaks its own promises: 1 of its 1 tests fails/.test(note)),
      'said',
    )
  }))

test('[FR-046] the issuers change with the policy: what one takes and the other does not is never mixed', async () => {
  const issuer = await createIssuer()
  const tokens = (roles: string) =>
    `tokens: { ci: { issuer: ${ISSUER}, audience: books, roles: [${roles}], claims: { roles: roles }, keys: [${JSON.stringify(issuer.jwk)}] } }\n`
  const policy = (role: string) =>
    `${HEAD}${tokens(role)}routes: { /api/whoami: { to: up, access: { role: ${role} } } }\n`
  const authorization = `Bearer ${await issuer.sign({ sub: 'job', roles: ['even', 'odd'] })}`
  await withGateway(policy('even'), async (gateway) => {
    expect(await status(gateway, '/api/whoami', { authorization })).toBe(200)
    await gateway.put(policy('odd'))
    expect(await status(gateway, '/api/whoami', { authorization })).toBe(200)
    await gateway.put(policy('odd').replace('roles: [odd]', 'roles: [other]'))
    expect(await status(gateway, '/api/whoami', { authorization })).toBe(403)
    await gateway.put(POLICY.replace('access: public', 'access: login'))
    expect(await status(gateway, '/api/whoami', { authorization })).toBe(401)
    expect(gateway.faults).toEqual([])
  })
})

test(
  '[FR-046] sockets and streams go on while the new policy allows them, and end when it does not',
  () =>
    withGateway(POLICY.replace('/ws', '/api/chat: { to: up, access: public }, /ws'), async (gateway) => {
      const [ada, bob] = [
        await signIn(gateway, 'ada@example.com', ['a']),
        await signIn(gateway, 'bob@example.com', ['b']),
      ]
      const open = async (cookie: string) => {
        const socket = new WebSocket(`${gateway.origin.replace('http', 'ws')}/ws`, {
          headers: { cookie, origin: gateway.origin },
        })
        const state = { code: 0, echoed: '' }
        socket.on('message', (data) => (state.echoed = String(data)))
        socket.on('close', (code) => (state.code = code))
        await new Promise((resolve) => socket.once('open', resolve))
        return { socket, state }
      }
      const [hers, his] = [await open(ada.cookie), await open(bob.cookie)]
      const stream = await fetch(`${gateway.origin}/api/chat?message=a&events=10000&gapMs=20`)
      const torn = stream.text().then(
        () => false,
        () => true,
      )
      const next = POLICY.replace('/ws: { to: up, access: login }', '/ws: { to: up, access: { role: a } }')
      expect((await gateway.put(next)).outcome).toBe('done')
      await expect.poll(() => his.state.code, { timeout: 15_000 }).toBe(1008)
      expect(await torn).toBe(true)
      hers.socket.send('still here')
      await until(() => hers.state.echoed === 'still here', 'her socket goes on')
      hers.socket.close()
      const cut = await gateway.recordOf(({ path, reason }) => path === '/api/chat' && reason !== null)
      expect(cut).toMatchObject({ reason: 'policy.changed', isAborted: true })
    }),
  30_000,
)

test(
  '[FR-046] a socket of nobody’s ends too, with a close frame that stands between two others',
  () =>
    withGateway(
      POLICY.replace('/ws: { to: up, access: login }', '/ws: { to: up, access: public }'),
      async (gateway) => {
        const socket = new WebSocket(`${gateway.origin.replace('http', 'ws')}/ws`)
        let code = 0
        socket.on('close', (closedWith) => (code = closedWith))
        await new Promise((resolve) => socket.once('open', resolve))
        // Past a sweep or two, so that it is one of those the gateway knows to be open when the policy comes.
        const openedAtMs = performance.now()
        await until(() => performance.now() - openedAtMs > 1_000, 'it is open for a while')
        expect((await gateway.put(POLICY)).outcome).toBe('done')
        await expect.poll(() => code, { timeout: 15_000 }).toBe(1008)
        expect(await gateway.recordOf(({ path }) => path === '/ws')).toMatchObject({ reason: 'policy.changed' })
      },
    ),
  30_000,
)

test('[FR-046] an address that only a proxy vouched for opens nothing any more when the proxy is not trusted', () =>
  withGateway(
    `${HEAD}trust: [127.0.0.1]\nroutes: { /api/chat: { to: up, access: { ip: 10.0.0.0/8 } } }\n`,
    async (gateway) => {
      const stream = await fetch(`${gateway.origin}/api/chat?message=a&events=10000&gapMs=20`, {
        headers: { 'x-forwarded-for': '10.1.2.3' },
      })
      expect(stream.status).toBe(200)
      const torn = stream.text().then(
        () => false,
        () => true,
      )
      const next = `${HEAD}trust: [192.0.2.1]\nroutes: { /api/chat: { to: up, access: { ip: 10.0.0.0/8 } } }\n`
      expect((await gateway.put(next)).outcome).toBe('done')
      expect(await gateway.recordOf(({ path }) => path === '/api/chat')).toMatchObject({ reason: 'policy.changed' })
      expect(await torn).toBe(true)
    },
  ))

test('[FR-046] a storm of signals makes one reload more, and a gateway that closes makes none', async () => {
  const gateway = await startTestGateway({ policy: POLICY, upstreamUrl: 'http://127.0.0.1:9' })
  const asked = Array.from({ length: 1_000 }, () => gateway.reload())
  expect(new Set(asked).size).toBe(1)
  expect((await asked[0])!.problem).toMatch(/there is no such file/)
  const under = gateway.put(POLICY.replace('/api/whoami', '/api/books'))
  const closed = gateway.close()
  const late = gateway.put(POLICY.replace('/api/whoami', '/api/other'))
  expect([(await under).outcome, (await late).problem]).toEqual(['done', 'This node is closing.'])
  await closed
  expect(gateway.notes.filter((note) => note.includes('is in force'))).toHaveLength(1)
})

test('[FR-046] a stream whose path leads to another upstream now, or to another path there, ends', () => {
  const head = HEAD.replace('upstreams: {', 'upstreams: { other: { url: UPSTREAM, assertion: false },')
  const policy = (to: string, prefix: string) =>
    `${head}routes:\n  /api/chat: { to: ${to}, access: public }\n  /old/**: { to: up, access: public, ${prefix}, alias: true }\n`
  return withGateway(policy('up', 'stripPrefix: /old'), async (gateway) => {
    const ends = ['/api/chat', '/old/api/chat'].map(async (path) => {
      const stream = await fetch(`${gateway.origin}${path}?message=a&events=10000&gapMs=20`)
      expect(stream.status).toBe(200)
      return stream
    })
    const streams = await Promise.all(ends)
    const torn = streams.map((stream) => stream.text().then(String, () => 'torn'))
    expect(await gateway.put(policy('other', 'stripPrefix: /old, addPrefix: /new'))).toMatchObject({ problem: null })
    for (const path of ['/api/chat', '/old/api/chat']) {
      expect(await gateway.recordOf((record) => record.path === path)).toMatchObject({ reason: 'policy.changed' })
    }
    expect(await Promise.all(torn)).toEqual(['torn', 'torn'])
  })
}, 30_000)
