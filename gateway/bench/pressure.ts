/**
 * `npm run soak:pressure`: a node of two workers at full load for `PRESSURE_MINUTES` (10 unless set), in three parts. Steady: no
 * error, and memory that stays flat. Then every 20 s a reload, an upstream restarted and a worker told to end or killed: no
 * idempotent request fails at a client that sends one again when its connection ended before a byte of the answer. Last a
 * flood of sign-ins: what it does to the slowest proxied requests.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { percentile } from '../test/fleet/measure.ts'
import { type Node, startFleet } from '../test/support/fleet.ts'
import { type RetryingClient, retryingClient } from '../test/support/retrying-client.ts'

const MINUTES = Number(process.env['PRESSURE_MINUTES'] ?? 10)
const CONNECTIONS = 64
const CHAOS_MS = 20_000
const SAMPLE_MS = 5_000
const FLOOD = 16
const FLOOD_MS = 15_000
/** Of the last third of the samples against the first, which comes after the caches have filled. */
const GROWTH_MAX = 1.25
const BODY = Buffer.alloc(1024, 'x')

const upstreams = await Promise.all([startUpstream(0), startUpstream(0)])
const fleet = await startFleet({ policy: policyText(), upstreamUrl: '', databaseUrl: null, redisUrl: null, count: 1 })
const node = fleet.nodes[0]!
const host = new URL(fleet.origin).host
const problems: string[] = []
try {
  await steady((MINUTES * 60_000) / 2)
  await chaos((MINUTES * 60_000) / 2)
  await flood()
} finally {
  await fleet.close()
  for (const { server } of upstreams) stop(server)
}
print(problems.length === 0 ? 'all of it held' : `FAILED:\n${problems.join('\n')}`)
process.exitCode = problems.length === 0 ? 0 : 1

function policyText(): string {
  const urls = upstreams.map(({ port }) => `http://127.0.0.1:${port}`)
  return `
version: 1
origin: ORIGIN
store: { secret: "\${env:POSTERN_SECRET}" }
login: { signup: open, allowUnverifiedEmail: true, rateLimits: { signIn: 1000000/h, signUp: 100000/h } }
admission: { perAddress: off }
workers: 2
upstreams:
  up: { url: [${urls.join(', ')}] }
routes:
  /**: { to: up, access: public }
`
}

/** wrk sends nothing again, so a single error shows. */
async function steady(ms: number): Promise<void> {
  const rss: number[] = []
  const timer = setInterval(() => rss.push(megabytes()), SAMPLE_MS)
  const seconds = Math.max(5, Math.round(ms / 1000))
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '-H', `Host: ${host}`, `${node.url}/steady`]
  const wrk = spawn('wrk', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  wrk.stdout.on('data', (chunk) => {
    output += chunk
  })
  const [code] = await once(wrk, 'close').catch((error) => {
    throw new Error('wrk is not here. On Debian: apt-get install wrk', { cause: error })
  })
  clearInterval(timer)
  print(`steady: ${/Requests\/sec:\s+(\S+)/.exec(output)?.[1]} req/s for ${seconds} s; memory ${rss.join(' ')} MiB`)
  if (code !== 0 || /Socket errors|Non-2xx/.test(output)) problems.push(`steady: errors\n${output}`)
  const third = Math.floor(rss.length / 3)
  const [first, last] = [median(rss.slice(third, 2 * third)), median(rss.slice(-third))]
  if (third > 0 && last > first * GROWTH_MAX) problems.push(`steady: memory grew from ${first} to ${last} MiB`)
}

async function chaos(ms: number): Promise<void> {
  const client = retryingClient(node.url, CONNECTIONS / 2, { host })
  const counts = new Map<string, number>()
  let isOver = false
  const load = Array.from({ length: CONNECTIONS / 2 }, async () => {
    while (!isOver) {
      const outcome = await client.get('/chaos').then(
        ({ status, body }) => (body.length === BODY.length ? String(status) : `${status}, ${body.length} bytes`),
        (error: Error) => error.message,
      )
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    }
  })
  const endsAtMs = performance.now() + ms
  // A server that failed is left alone for 10 s, so no two of them go away within that time.
  for (let round = 0; performance.now() < endsAtMs - 1000; round++) {
    await strike(round)
    await sleep(Math.min(CHAOS_MS, Math.max(0, endsAtMs - performance.now())))
  }
  isOver = true
  await Promise.all(load)
  client.close()
  print(`chaos: ${JSON.stringify(Object.fromEntries(counts))}, ${client.retries} sent again; memory ${megabytes()} MiB`)
  for (const [outcome, count] of counts) if (outcome !== '200') problems.push(`chaos: ${outcome}, ${count} times`)
}

/** A reload, an upstream that goes away and comes back, and a worker told to end; every third one is killed. */
async function strike(round: number): Promise<void> {
  const file = join(dirname(fleet.dataDir), 'node-0.yaml')
  writeFileSync(file, `${readFileSync(file, 'utf8').replace(/\n# round.*$/s, '')}\n# round ${round}\n`)
  node.signal('SIGHUP')
  const upstream = upstreams[round % 2]!
  stop(upstream.server)
  const pids = workerPids(node)
  const pid = pids[round % pids.length]
  const signal = round % 3 === 2 ? 'SIGKILL' : 'SIGTERM'
  if (pid !== undefined) process.kill(pid, signal)
  await sleep(500)
  Object.assign(upstream, await startUpstream(upstream.port))
  print(`round ${round}: reload, upstream ${round % 2} restarted, ${signal} to ${pid}; ${megabytes()} MiB`)
}

/** Requests at a steady pace below saturation, alone and beside a flood of wrong passwords. */
async function flood(): Promise<void> {
  const email = 'ada@example.com'
  const account = { email, password: 'correct horse battery staple', name: 'Ada' }
  await node.send('POST', '/api/auth/sign-up/email', { origin: fleet.origin }, account)
  const client = retryingClient(node.url, 8, { host })
  const quiet = await latencies(client, FLOOD_MS)
  let isOver = false
  let answered = 0
  let refused = 0
  const attackers = Array.from({ length: FLOOD }, async () => {
    while (!isOver) {
      const guess = { email, password: `wrong ${answered}` }
      const { status } = await node.send('POST', '/api/auth/sign-in/email', { origin: fleet.origin }, guess)
      if (status === 503) refused++
      else answered++
    }
  })
  const busy = await latencies(client, FLOOD_MS)
  isOver = true
  await Promise.all(attackers)
  client.close()
  const [before, during] = [percentile(quiet, 0.99), percentile(busy, 0.99)]
  const ratio = (during / before).toFixed(2)
  print(
    `flood: p99 ${before.toFixed(1)} ms alone, ${during.toFixed(1)} ms beside ${answered} guesses (${refused} told to wait): ${ratio} times`,
  )
}

async function latencies(client: RetryingClient, ms: number): Promise<number[]> {
  const found: number[] = []
  const endsAtMs = performance.now() + ms
  const one = async () => {
    while (performance.now() < endsAtMs) {
      const beganAtMs = performance.now()
      await client.get('/flood')
      found.push(performance.now() - beganAtMs)
      await sleep(5)
    }
  }
  await Promise.all(Array.from({ length: 8 }, one))
  return found
}

async function startUpstream(port: number): Promise<{ server: Server; port: number }> {
  const server = createServer((_request, response) => response.end(BODY))
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return { server, port: (server.address() as AddressInfo).port }
}

function stop(server: Server): void {
  server.close()
  server.closeAllConnections()
}

function workerPids(of: Node): number[] {
  const pid = of.pid()
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

/** Of the node: the process that watches and those that serve. */
function megabytes(): number {
  const pages = [node.pid(), ...workerPids(node)].map((pid) => {
    try {
      return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1])
    } catch {
      return 0 // it has just ended
    }
  })
  return Math.round((pages.reduce((sum, count) => sum + count, 0) * 4096) / 1024 ** 2)
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
