/** `workers: 2`: one address, two processes and one that watches over them; what is true of a node is true of both together. */

import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type Fleet, type Node, signInAt, startFleet } from '../support/fleet.ts'
import { exchangeRaw, parseAnswer, rawClient } from '../support/raw.ts'
import { retryingClient } from '../support/retrying-client.ts'
import { until } from '../support/until.ts'
import { createIssuer, fleetPolicy } from './policy.ts'

const MISCHIEF = fileURLToPath(new URL('../support/mischief.ts', import.meta.url))
const ADMIN = 'root@example.com'
const MORE = `
  /limited: { to: books, access: public, limit: 10/min per ip }
  /faults/**: { to: books, access: public }
workers: 2
shutdown: { delay: 1s, grace: 20s }
`
/** A process takes a second or two to start, and many times that on a machine that is busy. */
const START = { timeout: 40_000 }
let upstream: Upstream
let fleet: Fleet
let node: Node
let host: string
let key: string

beforeAll(async () => {
  const [made, issuer] = await Promise.all([startUpstream({ faults: true, record: true }), createIssuer()])
  upstream = made
  const options = process.env['NODE_OPTIONS']
  process.env['NODE_OPTIONS'] = `${options ?? ''} --import ${MISCHIEF}`
  fleet = await startFleet({
    policy: fleetPolicy(issuer) + MORE,
    upstreamUrl: upstream.url,
    databaseUrl: null,
    redisUrl: null,
    count: 1,
  }).finally(() => {
    if (options === undefined) delete process.env['NODE_OPTIONS']
    else process.env['NODE_OPTIONS'] = options
  })
  node = fleet.nodes[0]!
  host = new URL(fleet.origin).host
  await bothServe()
  await fleet.command(['admin', 'create', '--email', ADMIN, '--password-stdin'], 'correct horse battery staple\n')
  const made2 = await fleet.command([
    'keys',
    'create',
    '--owner',
    ADMIN,
    '--name',
    'test',
    '--json',
    '--scope',
    'admin',
  ])
  key = (JSON.parse(made2) as { key: string }).key
}, 120_000)

afterAll(async () => {
  await fleet?.close()
  await upstream?.close()
})

/** Pids of the processes that serve. */
function workers(): readonly number[] {
  const pid = node.pid()
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

/** Each of them on a connection of its own, so that the workers take turns. */
async function fresh(path: string, ...lines: readonly string[]) {
  const head = [`GET ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...lines, '', '']
  return parseAnswer(await exchangeRaw(node.url, head.join('\r\n')))
}

async function freshMany(count: number, path: string, ...lines: readonly string[]): Promise<number[]> {
  const statuses: number[] = []
  for (let at = 0; at < count; at++) statuses.push((await fresh(path, ...lines)).status)
  return statuses
}

async function metric(name: string): Promise<number> {
  const { body } = await node.admin('GET', '/metrics', key)
  const lines = body.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

async function bothServe(): Promise<void> {
  const isSo = async () => {
    if (workers().length !== 2) return false
    return key === undefined || (await metric('postern_processes').catch(() => 0)) === 2
  }
  for (const endsAtMs = performance.now() + START.timeout; !(await isSo()); ) {
    if (performance.now() > endsAtMs) throw new Error(`never two processes: ${node.output().slice(-2000)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

test('[FR-059] metrics are of both, and a refusal is found whichever of them decided it', async () => {
  await bothServe()
  const before = await metric('postern_requests_total')
  expect(await freshMany(10, '/api/health')).toEqual(Array(10).fill(200))
  await expect.poll(() => metric('postern_requests_total')).toBe(before + 10)
  for (let round = 0; round < 6; round++) {
    const { status, headers } = await fresh('/api/whoami')
    expect(status).toBe(401)
    const found = await node.admin('GET', `/v1/decisions/${headers.get('x-request-id')?.[0]}`, key)
    expect([found.status, JSON.parse(found.body).reason]).toEqual([200, 'credential.missing'])
  }
})

test('[FR-059] a session is known to both, and what ends it at one ends it at both at once', async () => {
  let isTold = false
  for (let round = 0; round < 5 && !isTold; round++) {
    const { cookie } = await signInAt(node, fleet.origin, 'ada@example.com', round === 0)
    expect(await freshMany(4, '/api/whoami', `Cookie: ${cookie}`)).toEqual(Array(4).fill(200))
    const out = await node.send('POST', '/api/auth/sign-out', { cookie, origin: fleet.origin }, {})
    expect(out.status).toBe(200)
    // On a machine that is busy the other one may take it later than it is waited for, and then the answer says so.
    isTold = out.headers['postern-revocation'] === undefined
    if (isTold) expect(await freshMany(6, '/api/whoami', `Cookie: ${cookie}`)).toEqual(Array(6).fill(401))
  }
  expect(isTold).toBe(true)
})

test('[FR-059] two processes write to one embedded database, and nobody who signs in is turned away', async () => {
  const people = Array.from({ length: 4 }, (_, at) => `person-${at}@example.com`)
  const signed = await Promise.all(people.map((email) => signInAt(node, fleet.origin, email, true)))
  expect(new Set(signed.map(({ id }) => id)).size).toBe(people.length)
})

test('[FR-059] a limit holds for both together', async () => {
  const statuses = await freshMany(24, '/limited')
  const admitted = statuses.filter((status) => status !== 429).length
  expect(admitted).toBeLessThanOrEqual(10)
  expect(admitted).toBeGreaterThan(5)
})

test('[FR-059] a changed policy reaches both', async () => {
  const file = join(dirname(fleet.dataDir), 'node-0.yaml')
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace('  /limited:', '  /new/**: { to: books, access: public }\n  /limited:'),
  )
  node.signal('SIGHUP')
  await expect.poll(async () => (await freshMany(6, '/new/api/health')).includes(401), START).toBe(false)
  await expect.poll(async () => new Set(await freshMany(4, '/new/x')).size, START).toBe(1)
  const said = () => node.output().split('SIGHUP: nothing has changed').length - 1
  const before = said()
  node.signal('SIGHUP')
  await expect.poll(said, START).toBe(before + 2)
})

test('[FR-059] one that is told to end finishes what it has, another takes its place, and no idempotent request fails', async () => {
  await bothServe()
  const client = retryingClient(node.url, 2, { host })
  const statuses = new Map<number, number>()
  let isOver = false
  const load = Array.from({ length: 2 }, async () => {
    while (!isOver) {
      const { status } = await client.get('/api/health')
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  })
  const slow = await Promise.all(Array.from({ length: 4 }, () => rawClient(node.url)))
  for (const each of slow) each.send(`GET /faults/slow-head?ms=1500 HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  await until(() => upstream.recordings().filter((text) => text.includes('ms=1500')).length === 4, 'they are in flight')
  try {
    const [ended, killed] = workers()
    process.kill(ended!, 'SIGTERM')
    for (const each of slow) {
      const answer = parseAnswer(await each.until((text) => text.includes('late')))
      expect(answer.status).toBe(200)
      each.close()
    }
    await expect.poll(() => workers().includes(ended!), START).toBe(false)
    await bothServe()
    process.kill(killed!, 'SIGKILL')
    await expect.poll(() => workers().length === 2 && !workers().includes(killed!), START).toBe(true)
    await bothServe()
  } finally {
    isOver = true
    await Promise.allSettled(load)
    client.close()
  }
  await Promise.all(load)
  expect([...statuses.keys()]).toEqual([200])
}, 120_000)

test('[FR-059] an error that nobody caught is in the log, its process ends, and another takes its place', async () => {
  await bothServe()
  const [failing] = workers()
  process.kill(failing!, 'SIGUSR2')
  await expect.poll(() => workers().includes(failing!), START).toBe(false)
  await expect.poll(() => node.output(), START).toMatch(/"fault":"Error: mischief that nobody caught/)
  await expect.poll(() => node.output(), START).toContain('exit code 70')
  await bothServe()
  expect(await freshMany(6, '/api/health')).toEqual(Array(6).fill(200))
})

test('[FR-058] a process that falls behind turns requests away but health checks, says so, and recovers by itself', async () => {
  await bothServe()
  for (const pid of workers()) process.kill(pid, 'SIGWINCH')
  let refused = null
  await expect
    .poll(
      async () => {
        const answers = await Promise.all(Array.from({ length: 8 }, () => fresh('/api/health')))
        refused = answers.find(({ status }) => status === 503) ?? null
        return refused !== null
      },
      { timeout: 25_000 },
    )
    .toBe(true)
  expect((refused as unknown as ReturnType<typeof parseAnswer>).headers.get('retry-after')).toEqual(['1'])
  for (let round = 0; round < 4; round++) expect((await fresh('/_postern/healthz')).status).toBe(200)
  expect(await metric('postern_shed_share')).toBeGreaterThan(0)
  for (const pid of workers()) process.kill(pid, 'SIGWINCH')
  await expect.poll(() => metric('postern_shed_share'), { timeout: 20_000 }).toBe(0)
  expect(await freshMany(4, '/api/health')).toEqual(Array(4).fill(200))
})

test('[FR-059] told to end, all of them finish and the node exits with 0; what they wrote is whole lines', async () => {
  await bothServe()
  const slow = await rawClient(node.url)
  slow.send(`GET /faults/slow-head?ms=700 HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  await until(() => upstream.recordings().some((text) => text.includes('ms=700')), 'it is in flight')
  const ended = node.end('SIGTERM')
  await expect.poll(async () => (await fresh('/_postern/readyz')).status, START).toBe(503)
  expect((await ended).code).toBe(0)
  expect(parseAnswer(await slow.closed()).status).toBe(200)
  // What is kept of the output may begin within a line.
  for (const line of node.output().trim().split('\n').slice(1)) {
    if (!/^(?:postern: | {4}at )/.test(line)) expect(() => JSON.parse(line) as unknown, line).not.toThrow()
  }
})
