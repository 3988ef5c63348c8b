/** Several servers behind one gateway, over real sockets: which is asked, what happens when one fails, and what is never sent twice. */

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Backend, fine, startBackend, startMute, torn } from '../support/backend.ts'
import { allPlacesFree, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { rawClient } from '../support/raw.ts'
import { until } from '../support/until.ts'

let a: Backend
let b: Backend
let mute: Awaited<ReturnType<typeof startMute>>
let adminPort: number
let deadUrl: string
let gateway: TestGateway
/** Statuses of health paths, by their whole URL; 200 where there is none. */
const unwell = new Map<string, number>()
let host: string

/** One upstream for each question, so that one gateway serves them all and none hears of the others' failures. */
const upstreams = () => `
  many: { url: [${a.url}, ${b.url}], ejection: off }
  half-dead: { url: [${deadUrl}, ${b.url}], ejection: off, host: upstream }
  never: { url: [${a.url}, ${b.url}], ejection: off, retries: off }
  poor: { url: [${a.url}, ${b.url}], ejection: off, retries: 1% }
  ejecting: { url: [${a.url}, ${b.url}], ejection: { failures: 2, for: 1h } }
  probing: { url: [${a.url}, ${b.url}], ejection: { failures: 2, for: 200ms } }
  narrow: { url: "${a.url}", connections: 1, queue: 1 }
  waiting: { url: "${a.url}", connections: 1, timeouts: { connect: 300ms } }
  checked: { url: [${a.url}, ${b.url}], health: { path: /health/checked, interval: 100ms } }
  only: { url: "${a.url}", health: { path: /health/only, interval: 100ms } }
  mute: { url: "https://127.0.0.1:${mute.port}", timeouts: { connect: 300ms } }
  slow: { url: "${a.url}", timeouts: { firstByte: 300ms, idle: 1h } }
  idle: { url: "${a.url}", timeouts: { firstByte: 1h, idle: 300ms } }
  total: { url: "${a.url}", timeouts: { total: 300ms } }
  leaving: { url: [${a.url}, ${b.url}], health: { path: /health/leaving, interval: 100ms } }
`
const NAMES = [
  ...['many', 'half-dead', 'never', 'poor', 'ejecting', 'probing', 'narrow', 'waiting', 'checked', 'only'],
  ...['mute', 'slow', 'idle', 'total', 'leaving'],
]

const policy = (text: string) => `
version: 1
origin: ORIGIN
admission: { perAddress: off }
keys: {}
admin: { listen: "127.0.0.1:${adminPort}" }
upstreams: ${text.replaceAll(/\{ url/g, '{ assertion: false, url')}
routes:
${NAMES.map((name) => `  /${name}/**: { to: ${name}, access: public }`).join('\n')}
  /slow/patient: { to: slow, access: public, timeouts: { firstByte: 20s } }
`

beforeAll(async () => {
  ;[a, b] = await Promise.all([startBackend(unwell), startBackend(unwell)])
  mute = await startMute()
  deadUrl = `http://127.0.0.1:${await freePort()}`
  adminPort = await freePort()
  gateway = await startTestGateway({ policy: policy(upstreams()) })
  host = new URL(gateway.origin).host
})

afterEach(() => {
  a.answer = fine
  b.answer = fine
  unwell.clear()
  expect(gateway.faults).toEqual([])
})

afterAll(async () => {
  await allPlacesFree(gateway)
  await gateway?.close()
  await Promise.all([a?.kill(), b?.kill()])
  mute?.close()
})

async function ask(path: string, method = 'GET', body: string | null = null) {
  const response = await fetch(gateway.origin + path, { method, body })
  const text = await response.text().catch(() => 'torn')
  const { code } = response.status >= 400 && text.startsWith('{') ? JSON.parse(text) : { code: null }
  return { status: response.status, text, code: code as string | null, headers: response.headers }
}

/** Asks the admin listener, as an admin's key. */
async function admin(path: string) {
  adminKey ??= await makeKey()
  const response = await fetch(`http://127.0.0.1:${adminPort}${path}`, { headers: { 'x-api-key': adminKey } })
  return { status: response.status, body: await response.text() }
}

let adminKey: string | null = null

async function makeKey(): Promise<string> {
  const { users, apiKeys } = gateway
  const user = { email: 'root@example.com', password: 'correct horse battery staple', name: 'root', roles: ['admin'] }
  const ownerId = await users.create(user)
  return (await apiKeys.create({ ownerId, name: 'test', scopes: ['admin'], expiresAtMs: null, rate: null })).key
}

const countOf = (backend: Backend, path: string) => backend.seen.filter((line) => line.endsWith(path)).length
const isNoted = (text: string) => gateway.notes.some((note) => note.includes(text))
const askMany = (path: string, count: number) => Promise.all(Array.from({ length: count }, () => ask(path)))
const recordOf = (path: string) => gateway.recordOf((record) => record.path === path)

test('[FR-055] servers with nothing to do share the requests; one that is busy gets fewer', async () => {
  for (let at = 0; at < 40; at += 1) await ask('/many/idle')
  expect(countOf(a, '/many/idle')).toBeGreaterThan(5)
  expect(countOf(b, '/many/idle')).toBeGreaterThan(5)
  const held: (() => void)[] = []
  a.answer = (_request, response) => void held.push(() => response.end('late'))
  const slow = Array.from({ length: 30 }, () => ask('/many/busy'))
  await until(() => countOf(b, '/many/busy') + countOf(a, '/many/busy') === 30, 'all are asked')
  expect(countOf(a, '/many/busy')).toBeLessThanOrEqual(16)
  for (const release of held) release()
  await Promise.all(slow)
  expect((await recordOf('/many/busy')).server).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
})

test('[FR-055] a server is killed under load and comes back: no idempotent request fails', async () => {
  let isOver = false
  const statuses = new Map<number, number>()
  const loop = async () => {
    while (!isOver) {
      const { status } = await ask('/many/load')
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  const loops = Array.from({ length: 8 }, loop)
  const served = () => statuses.get(200) ?? 0
  await until(() => served() > 100, 'load')
  for (const backend of [a, b]) {
    await backend.kill()
    const before = served()
    await until(() => served() > before + 50, 'the other serves on')
    await backend.revive()
    const after = served()
    await until(() => served() > after + 50, 'both serve')
  }
  isOver = true
  await Promise.all(loops)
  expect([...statuses.keys()]).toEqual([200])
  expect(gateway.records.some(({ path, tries }) => path === '/many/load' && tries === 2)).toBe(true)
})

test('[FR-055] what was sent and is not idempotent is never sent again', async () => {
  a.answer = torn
  b.answer = torn
  for (const [method, body] of [
    ['POST', 'x'],
    ['POST', null],
    ['PATCH', 'x'],
    ['PUT', 'x'],
  ] as const) {
    const path = `/many/once-${method}-${body}`
    const { status } = await ask(path, method, body)
    expect([method, body, status, countOf(a, path) + countOf(b, path)]).toEqual([method, body, 502, 1])
  }
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
    const path = `/many/again-${method}`
    await ask(path, method)
    const [ofA, ofB] = [countOf(a, path), countOf(b, path)]
    expect([method, ofA > 0, ofB > 0, ofA + ofB]).toEqual([method, true, true, 3])
  }
})

test('[FR-055] once something came back, nothing is sent again', async () => {
  for (const backend of [a, b]) {
    backend.answer = (request) => {
      request.socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n', () => {
        setImmediate(() => request.socket.destroy())
      })
    }
  }
  const { status } = await ask('/many/hinted')
  expect([status, countOf(a, '/many/hinted') + countOf(b, '/many/hinted')]).toEqual([502, 1])
})

test('[FR-055] what could not be sent goes to another server, whatever it is, with the Host of that one', async () => {
  for (let at = 0; at < 8; at += 1) {
    const { status } = await ask(`/half-dead/${at}`, 'POST', 'x'.repeat(100))
    expect(status).toBe(200)
  }
  const records = gateway.records.filter(({ path }) => path.startsWith('/half-dead/'))
  expect(records.some(({ tries }) => tries === 2)).toBe(true)
  expect(records.every(({ server }) => server === b.url)).toBe(true)
  expect(new Set(b.hosts.slice(-8))).toEqual(new Set([`127.0.0.1:${b.port}`]))
})

test('[FR-055] `retries: off` asks once', async () => {
  a.answer = torn
  b.answer = torn
  expect((await ask('/never/x')).status).toBe(502)
  expect(countOf(a, '/never/x') + countOf(b, '/never/x')).toBe(1)
})

test('[FR-055] a dead upstream is not asked twice as much: tries have a budget', async () => {
  a.answer = torn
  b.answer = torn
  for (let at = 0; at < 5; at += 1) await askMany('/poor/x', 20)
  const tries = countOf(a, '/poor/x') + countOf(b, '/poor/x')
  // Three a second for ten seconds, and one in a hundred.
  expect(tries - 100).toBeGreaterThan(20)
  expect(tries - 100).toBeLessThanOrEqual(31)
})

test('[FR-055] a server that fails again and again is left alone, and the last one never is', async () => {
  a.answer = torn
  while (!isNoted(`ejecting: ${a.url} fails`)) await ask('/ejecting/x')
  const before = countOf(a, '/ejecting/y')
  await askMany('/ejecting/y', 20)
  expect(countOf(a, '/ejecting/y')).toBe(before)
  b.answer = torn
  await Promise.all(Array.from({ length: 20 }, () => ask('/ejecting/z', 'POST')))
  expect(countOf(b, '/ejecting/z')).toBe(20)
  expect(countOf(a, '/ejecting/z')).toBe(0)
  expect(gateway.notes.filter((note) => note.startsWith('upstream ejecting'))).toHaveLength(1)
})

test('[FR-055] where all others fail, one that was left alone is tried before its time', async () => {
  a.answer = fine
  b.answer = torn
  const statuses = (await askMany('/ejecting/back', 10)).map(({ status }) => status)
  expect(new Set(statuses)).toEqual(new Set([200]))
  await until(() => isNoted(`ejecting: ${a.url} is back`), 'it is back')
})

test('[FR-055] a server that was left alone is tried by one request at a time, and serves again when that is answered', async () => {
  a.answer = torn
  while (!isNoted(`probing: ${a.url} fails`)) await ask('/probing/x')
  const held: (() => void)[] = []
  a.answer = (_request, response) => void held.push(() => response.end('fine'))
  const asked: Promise<unknown>[] = []
  while (held.length === 0) {
    asked.push(ask('/probing/y'))
    await until(() => countOf(a, '/probing/y') + countOf(b, '/probing/y') === asked.length, 'it is sent')
  }
  asked.push(...Array.from({ length: 20 }, () => ask('/probing/y')))
  await until(() => countOf(a, '/probing/y') + countOf(b, '/probing/y') === asked.length, 'all are asked')
  expect(held).toHaveLength(1)
  a.answer = fine
  held[0]!()
  await Promise.all(asked)
  await until(() => isNoted(`probing: ${a.url} is back`), 'it is back')
  const before = countOf(a, '/probing/z')
  await askMany('/probing/z', 30)
  expect(countOf(a, '/probing/z')).toBeGreaterThan(before)
})

test('[FR-055] what finds no place waits, first come first served; what finds no room to wait is turned away at once', async () => {
  const held: (() => void)[] = []
  a.answer = (_request, response) => void held.push(() => response.end('served'))
  const first = ask('/narrow/1')
  await until(() => held.length === 1, 'the first is served')
  const second = ask('/narrow/2')
  await until(() => gateway.upstreams().find(({ id }) => id === 'narrow')?.queued === 1, 'the second waits')
  const third = await ask('/narrow/3')
  expect([third.status, third.code, third.headers.get('retry-after')]).toEqual([503, 'upstream-busy', '1'])
  const gone = await rawClient(gateway.url)
  held[0]!()
  expect((await first).text).toBe('served')
  await until(() => held.length === 2, 'the second is served')
  gone.close()
  held[1]!()
  expect((await second).text).toBe('served')
  expect(a.seen.filter((line) => line.includes('/narrow/'))).toEqual(['GET /narrow/1', 'GET /narrow/2'])
  expect(await recordOf('/narrow/3')).toMatchObject({ reason: 'upstream.busy', status: 503 })
})

test('[FR-055] a client that leaves the queue is not sent, and who waits too long is told so', async () => {
  const held: (() => void)[] = []
  a.answer = (_request, response) => void held.push(() => response.end('served'))
  const first = ask('/waiting/1')
  await until(() => held.length === 1, 'the first is served')
  const gone = await rawClient(gateway.url)
  gone.send(`GET /waiting/gone HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  await until(() => gateway.upstreams().find(({ id }) => id === 'waiting')?.queued === 1, 'it waits')
  gone.close()
  await until(() => gateway.upstreams().find(({ id }) => id === 'waiting')?.queued === 0, 'it left')
  expect(await ask('/waiting/late')).toMatchObject({ status: 503, code: 'upstream-busy' })
  held[0]!()
  await first
  expect(a.seen.filter((line) => line.includes('/waiting/'))).toEqual(['GET /waiting/1'])
})

test('[FR-055] each time that runs out has its code', async () => {
  a.answer = () => {}
  const late = await Promise.all(['/mute/x', '/slow/x', '/total/x'].map((path) => ask(path)))
  expect(late.map(({ status }) => status)).toEqual([504, 504, 504])
  expect(late.map(({ code }) => code)).toEqual([
    'upstream-connect-timeout',
    'upstream-first-byte-timeout',
    'upstream-total-timeout',
  ])
  a.answer = (_request, response) => void response.write('begun')
  expect(await ask('/idle/x')).toMatchObject({ status: 200, text: 'torn' })
  expect(await recordOf('/idle/x')).toMatchObject({ reason: 'upstream.timeout', isAborted: true })
  const drips: NodeJS.Timeout[] = []
  a.answer = (_request, response) => void drips.push(setInterval(() => response.write('drip'), 20))
  expect(await ask('/total/drips')).toMatchObject({ status: 200, text: 'torn' })
  expect(await recordOf('/total/drips')).toMatchObject({ reason: 'upstream.total-timeout' })
  for (const drip of drips) clearInterval(drip)
})

test('[FR-055] a route’s own times win over its upstream’s', async () => {
  a.answer = (_request, response) => void setTimeout(() => response.end('at last'), 900)
  const [impatient, patient] = await Promise.all([ask('/slow/y'), ask('/slow/patient')])
  expect([impatient.status, patient.text]).toEqual([504, 'at last'])
})

const stateOf = (id: string) =>
  gateway
    .upstreams()
    .find((upstream) => upstream.id === id)!
    .servers.map(({ state }) => state)

test('[FR-055] a server that is not well by its own word gets nothing; when none is, nobody waits for an answer', async () => {
  await until(() => stateOf('checked').every((state) => state === 'up'), 'both are well')
  unwell.set(`${a.url}/health/checked`, 500)
  await until(() => stateOf('checked')[0] === 'down', 'it is down')
  await askMany('/checked/x', 20)
  expect(countOf(a, '/checked/x')).toBe(0)
  const { body } = await admin('/readyz')
  expect(JSON.parse(body)).toMatchObject({
    ready: true,
    unwellServers: expect.arrayContaining([{ upstream: 'checked', server: a.url, state: 'down' }]),
  })
  const metrics = await admin('/metrics')
  expect(metrics.body).toContain(`postern_upstream_server_up{upstream="checked",server="${a.url}"} 0`)
  expect(metrics.body).toMatch(/^postern_upstream_retries_total\{upstream="many"\} [1-9]/m)
  expect(metrics.body).toMatch(/^postern_upstream_shed_total\{upstream="narrow"\} 1$/m)
  unwell.set(`${b.url}/health/checked`, 302)
  await until(() => stateOf('checked')[1] === 'down', 'a redirection is no good answer')
  expect(countOf(b, '/well')).toBe(0)
  expect(await ask('/checked/y')).toMatchObject({ status: 503, code: 'upstream-down' })
  expect(countOf(a, '/checked/y') + countOf(b, '/checked/y')).toBe(0)
  unwell.clear()
  await until(() => stateOf('checked')[0] === 'up', 'it is well again')
  expect((await ask('/checked/z')).status).toBe(200)
  expect(isNoted(`upstream checked: ${a.url} is down: GET /health/checked answers 500`)).toBe(true)
})

test('[FR-055] the only server is believed too', async () => {
  unwell.set(`${a.url}/health/only`, 404)
  await until(() => stateOf('only')[0] === 'down', 'it is down')
  const answer = await ask('/only/x')
  expect([answer.status, answer.code, answer.headers.get('retry-after')]).toEqual([503, 'upstream-down', '1'])
})

test('[FR-055] a server that a reload removes finishes what it has, and gets nothing new, not even a question', async () => {
  const held: (() => void)[] = []
  a.answer = (_request, response) => void held.push(() => response.end('to the end'))
  b.answer = a.answer
  const asked = Array.from({ length: 10 }, () => ask('/leaving/old'))
  await until(() => held.length === 10, 'all are under way')
  expect(countOf(a, '/leaving/old')).toBeGreaterThan(0)
  const only = upstreams().replace(
    `leaving: { url: [${a.url}, ${b.url}]`,
    `leaving: { url: ["${b.url}"], connections: 2, queue: 0`,
  )
  expect((await gateway.put(policy(only))).outcome).toBe('done')
  expect(stateOf('leaving')).toEqual(['up'])
  // Those under way count: the new bounds hold at once.
  expect((await ask('/leaving/new')).code).toBe('upstream-busy')
  expect(gateway.upstreams().find(({ id }) => id === 'leaving')?.sheds).toBe(1)
  const questions = countOf(a, '/health/leaving')
  const others = countOf(b, '/health/leaving')
  await until(() => countOf(b, '/health/leaving') >= others + 3, 'the other is asked on')
  expect(countOf(a, '/health/leaving')).toBe(questions)
  for (const release of held) release()
  expect((await Promise.all(asked)).every(({ text }) => text === 'to the end')).toBe(true)
  a.answer = fine
  b.answer = fine
  expect((await ask('/leaving/newer')).status).toBe(200)
  expect(countOf(a, '/leaving/newer')).toBe(0)
})
