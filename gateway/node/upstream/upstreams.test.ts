/** What is known of servers, apart from any request: shares, budgets, how long one is left alone, and names that change. */

import type { LookupFunction } from 'node:net'
import { Registry } from 'prom-client'
import { afterEach, expect, test } from 'vitest'
import type { Upstream } from '../../rules.ts'
import { type Backend, startBackend } from '../../test/support/backend.ts'
import { anUpstream } from '../../test/support/routes.ts'
import { until } from '../../test/support/until.ts'
import { leastLoadedOfTwo } from './choice.ts'
import { Ejection } from './ejection.ts'
import type { LiveServer } from './live-server.ts'
import { LiveUpstream } from './live-upstream.ts'
import { RetryBudget } from './retry-budget.ts'
import type { UpstreamHandler } from './transport.ts'
import { measureUpstreams } from './upstream-metrics.ts'
import { openUpstreams, type Upstreams } from './upstreams.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

function opened(options: Parameters<typeof openUpstreams>[0] = {}): Upstreams {
  const upstreams = openUpstreams(options)
  closing.push(() => upstreams.destroy())
  return upstreams
}

function inForce(...upstreams: readonly Upstream[]) {
  const admission = { authority: 'books.test' } as Parameters<Upstreams['follow']>[0]['admission']
  return { upstreams: new Map(upstreams.map((upstream) => [upstream.id, upstream])), admission }
}

const at = (...origins: readonly string[]) => origins.map((origin) => ({ origin, weight: 1 }))

/** One GET: its body, or how it failed. Held open until `release` where the server answers nothing. */
function get(upstreams: Upstreams, upstream: Upstream, path = '/'): Promise<string> {
  return new Promise((resolve) => {
    let body = ''
    let server: LiveServer | null = null
    const end = (result: string) => {
      server?.leave(handler)
      resolve(result)
    }
    const handler: UpstreamHandler & { onTurn(server: LiveServer): void } = {
      onConnected: () => {},
      onInterim: () => {},
      onWritable: () => {},
      onHead: () => server?.succeeded(handler),
      onData(chunk) {
        body += chunk.toString('latin1')
      },
      onEnd: () => end(body),
      onFailure: (error) => {
        server?.failed(handler)
        end(error.message)
      },
      onTurn(place) {
        server = place
        place.send({ method: 'GET', path, headers: ['Host', 'books.test'], bodyBytes: 0 }, handler)
      },
    }
    const place = upstreams.of(upstream).enter(upstream, upstreams.choose(upstream)?.origin ?? 'none', handler)
    if (typeof place === 'string') resolve(place)
    else handler.onTurn(place)
  })
}

test('[FR-055] servers with nothing to do are drawn by weight; of two the one with less to do for its weight is asked', () => {
  const idle = [
    { weight: 3, underWay: 0, asked: 0 },
    { weight: 1, underWay: 0, asked: 0 },
  ]
  let seed = 1
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed / 2_147_483_647
  }
  for (let turn = 0; turn < 4000; turn += 1) leastLoadedOfTwo(idle, random)!.asked += 1
  expect(idle[0]!.asked).toBeGreaterThan(2800)
  expect(idle[0]!.asked).toBeLessThan(3200)
  const busy = [
    { weight: 3, underWay: 4 },
    { weight: 1, underWay: 1 },
  ]
  for (let turn = 0; turn < 50; turn += 1) expect(leastLoadedOfTwo(busy, random)).toBe(busy[1])
  expect(leastLoadedOfTwo([], random)).toBeNull()
})

test('[FR-055] tries beyond the first are a share of the requests of the last ten seconds, or three a second', () => {
  const budget = new RetryBudget()
  const taken = (requests: number) => {
    let count = 0
    while (budget.take(20, requests)) count += 1
    return count
  }
  expect(taken(0)).toBe(30)
  expect(taken(1000)).toBe(200)
  for (let second = 0; second < 9; second += 1) budget.tick(1000)
  expect(taken(1000)).toBe(0)
  budget.tick(1000)
  expect(taken(1000)).toBe(30)
  expect(budget.take(0, 1_000_000)).toBe(false)
})

test('[FR-055] a server that keeps failing is left alone twice as long each time, and no turned clock matters', async () => {
  let nowMs = 0
  const changes: boolean[] = []
  const ejection = new Ejection({
    rule: { failures: 2, durationMs: 1000 },
    mayEject: () => true,
    onChange: (isOut) => changes.push(isOut),
    monotonicMs: () => nowMs,
  })
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  const one = {}
  const two = {}
  ejection.failed(one)
  ejection.succeeded(one)
  await settled()
  ejection.failed(one)
  await settled()
  expect(ejection.isOut).toBe(false)
  ejection.failed(one)
  await settled()
  expect([ejection.isOut, ejection.mayProbe()]).toEqual([true, false])
  for (const waitMs of [1000, 2000, 4000]) {
    nowMs += waitMs - 1
    expect(ejection.mayProbe()).toBe(false)
    nowMs += 1
    expect([ejection.mayProbe(), ejection.mayProbe()]).toEqual([true, false])
    ejection.enter(one)
    nowMs += 5000
    expect(ejection.mayProbe()).toBe(false)
    // Not its probe: says nothing.
    ejection.succeeded(two)
    ejection.failed(one)
    ejection.leave(one)
    await settled()
    expect(ejection.isOut).toBe(true)
  }
  nowMs += 8000
  ejection.enter(one)
  // The client left: the next one tries instead.
  ejection.leave(one)
  expect(ejection.mayProbe()).toBe(true)
  ejection.enter(two)
  ejection.succeeded(two)
  await settled()
  expect([ejection.isOut, changes]).toEqual([false, [true, false]])
  ejection.failed(one)
  await settled()
  expect(ejection.isOut).toBe(false)
})

test('[FR-055] a name that means another address takes the traffic there, and what is under way finishes', async () => {
  const old = await startBackend()
  const next = await startBackend(new Map(), '127.0.0.2', old.port)
  closing.push(old.kill, next.kill)
  let address = '127.0.0.1'
  const lookup: LookupFunction = (_name, options, found) => {
    if (options.all === true) found(null, [{ address, family: 4 }])
    else found(null, address, 4)
  }
  const upstreams = opened({ lookup, lookMs: 20 })
  const upstream = anUpstream({ servers: at(`http://books.test:${old.port}`), connectMs: 5000 })
  upstreams.follow(inForce(upstream))
  next.answer = (_request, response) => void response.end('next')
  await get(upstreams, upstream)
  let release = () => {}
  old.answer = (_request, response) => {
    release = () => void response.end('old')
  }
  const held = get(upstreams, upstream, '/held')
  await until(() => old.seen.includes('GET /held'), 'it is under way')
  old.answer = (_request, response) => void response.end('old')
  expect(await get(upstreams, upstream)).toBe('old')
  address = '127.0.0.2'
  let answer = ''
  while (answer !== 'next') answer = await get(upstreams, upstream)
  for (let turn = 0; turn < 5; turn += 1) expect(await get(upstreams, upstream)).toBe('next')
  release()
  expect(await held).toBe('old')
})

test('[FR-055] an exchange that began under another policy keeps to its servers, which then are gone', async () => {
  const [old, next] = (await Promise.all([startBackend(), startBackend()])) as [Backend, Backend]
  closing.push(old.kill, next.kill)
  const before = anUpstream({ servers: at(old.url), connectMs: 5000 })
  const after = anUpstream({ servers: at(next.url), connectMs: 5000 })
  const upstreams = opened()
  upstreams.follow(inForce(before))
  upstreams.follow(inForce(after))
  expect(await get(upstreams, before, '/late')).toBe('fine')
  expect([old.seen, next.seen]).toEqual([['GET /late'], []])
  expect(upstreams.report()[0]!.servers.map(({ origin }) => origin)).toEqual([next.url])
  await until(() => upstreams.of(after).isIdle, 'the old one is gone')
  upstreams.follow(inForce())
  expect(upstreams.report()).toEqual([])
  expect(await get(upstreams, after, '/later')).toBe('fine')
})

test('[FR-055] what is known of a server outlives a reload that says the same of it, and no other', async () => {
  const [alive, dead] = (await Promise.all([startBackend(), startBackend()])) as [Backend, Backend]
  closing.push(alive.kill)
  await dead.kill()
  const health = { path: '/health/x', intervalMs: 20, timeoutMs: 1000, healthyAfter: 1, unhealthyAfter: 1 }
  const checked = () => anUpstream({ id: 'checked', servers: at(alive.url, dead.url), connectMs: 5000, health })
  const ejection = { failures: 1, durationMs: 3_600_000 }
  const ejecting = () => anUpstream({ id: 'ejecting', servers: at(alive.url, dead.url), connectMs: 5000, ejection })
  const upstreams = opened()
  const states = () => upstreams.report().map(({ servers }) => servers.map(({ state }) => state))
  const first = [checked(), ejecting()] as const
  upstreams.follow(inForce(...first))
  while (states()[1]![1] !== 'ejected') await get(upstreams, first[1])
  await until(() => states()[0]![1] === 'down', 'it is down')
  upstreams.follow(inForce(checked(), ejecting()))
  const known = [
    ['up', 'down'],
    ['up', 'ejected'],
  ]
  expect(states()).toEqual(known)
  const others = [
    { ...checked(), health: { ...health, intervalMs: 3_600_000 } },
    { ...ejecting(), ejection: { failures: 2, durationMs: 1 } },
  ]
  upstreams.follow(inForce(...others))
  expect(states().flat()).toEqual(['up', 'up', 'up', 'up'])
})

test('[FR-055] nobody overtakes who waits, not even in the moment in which a place becomes free', async () => {
  const upstream = anUpstream({ servers: at('http://127.0.0.1:9'), connectionsMax: 1, queueMax: 2 })
  const turns: string[] = []
  const asker = (name: string) => ({ onTurn: () => void turns.push(name) })
  const live = opened().of(upstream)
  const [first, second, third, fourth] = ['first', 'second', 'third', 'fourth'].map(asker)
  const enter = (one: typeof first & object) => live.enter(upstream, 'http://127.0.0.1:9', one)
  const place = enter(first!)
  expect(enter(second!)).toBe('waiting')
  ;(place as LiveServer).leave(first!)
  expect([enter(third!), enter(fourth!), live.sheds]).toEqual(['waiting', 'busy', 1])
  await Promise.resolve()
  expect(turns).toEqual(['second'])
  live.servers[0]!.leave(second!)
  await Promise.resolve()
  expect([turns, live.queued, live.servers[0]!.underWay]).toEqual([['second', 'third'], 0, 1])
})

test('[FR-055] a server that was left alone is tried although others wait, and when it is back they have it', async () => {
  let nowMs = 0
  const ejection = { failures: 1, durationMs: 1000 }
  const upstream = anUpstream({ servers: at('http://127.0.0.1:9', 'http://127.0.0.1:8'), connectionsMax: 1, ejection })
  const deps = { lookup: null, lookMs: undefined, isClientOurs: true, tell: () => {}, monotonicMs: () => nowMs }
  const live = new LiveUpstream(upstream, deps)
  closing.push(() => live.destroy())
  live.follow(upstream, null)
  const turns: string[] = []
  const asker = (name: string) => ({ onTurn: (server: LiveServer) => void turns.push(`${name} ${server.origin}`) })
  const enter = (one: object) => live.enter(upstream, live.choose()!.origin, one as ReturnType<typeof asker>)
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  const one = asker('one')
  const failing = enter(one) as LiveServer
  failing.failed(one)
  failing.leave(one)
  await settled()
  expect(failing.isEjected).toBe(true)
  expect((enter(asker('two')) as LiveServer).origin).not.toBe(failing.origin)
  expect(enter(asker('three'))).toBe('waiting')
  nowMs += 1000
  const probe = asker('probe')
  expect(enter(probe)).toBe(failing)
  expect(enter(asker('four'))).toBe('waiting')
  failing.succeeded(probe)
  failing.leave(probe)
  await settled()
  expect([failing.isEjected, turns]).toEqual([false, [`three ${failing.origin}`]])
})

test('[FR-055] metrics tell of each server, and a name of the policy cannot break them', async () => {
  const server = { origin: 'http://10.0.0.6:8000', underWay: 2, requests: 7 } as const
  const registry = new Registry()
  measureUpstreams(registry, () => [
    { id: 'b"ooks', queued: 3, retries: 4, sheds: 5, servers: [{ ...server, state: 'down' }] },
    { id: 'api', queued: 0, retries: 0, sheds: 0, servers: [{ ...server, state: 'ejected' }] },
  ])
  const text = await registry.metrics()
  for (const line of [
    'postern_upstream_server_up{upstream="b\\"ooks",server="http://10.0.0.6:8000"} 0',
    'postern_upstream_server_up{upstream="api",server="http://10.0.0.6:8000"} 1',
    'postern_upstream_server_ejected{upstream="api",server="http://10.0.0.6:8000"} 1',
    'postern_upstream_requests_open{upstream="api",server="http://10.0.0.6:8000"} 2',
    'postern_upstream_requests_total{upstream="api",server="http://10.0.0.6:8000"} 7',
    'postern_upstream_retries_total{upstream="b\\"ooks"} 4',
    'postern_upstream_shed_total{upstream="b\\"ooks"} 5',
    'postern_upstream_queued{upstream="b\\"ooks"} 3',
  ]) {
    expect(text).toContain(line)
  }
})
