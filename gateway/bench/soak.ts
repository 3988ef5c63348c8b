/**
 * `npm run soak`: a million distinct tokens, half of them forged, through one node, with a few good callers beside the flood.
 * Prints memory as it goes and fails when it leaves the stated bound, or when a good caller is refused.
 * `SOAK_TOKENS` makes it shorter.
 */

import { readFileSync } from 'node:fs'
import { generateKeyPair, SignJWT } from 'jose'
import { Pool } from 'undici'
import { startUpstream } from '../../upstream-mock/server.ts'
import { percentile } from '../test/fleet/measure.ts'
import { createIssuer, fleetPolicy, ISSUER } from '../test/fleet/policy.ts'
import { startFleet } from '../test/support/fleet.ts'

const TOKENS = Number(process.env.SOAK_TOKENS ?? 1_000_000)
const BATCH = 2_000
const CONCURRENCY = 32
/** What spec.md states (SC-014). Left to itself V8 takes what the machine has before it collects, which says nothing about what is kept. */
const HEAP_MIB = 320
const RSS_BYTES_MAX = 600 * 1024 ** 2

const [issuer, upstream] = await Promise.all([createIssuer(), startUpstream()])
/** A key the gateway has never seen, under a `kid` it knows: the costliest forgery, for its signature must be computed. */
const forger = await generateKeyPair('ES256')
process.env['NODE_OPTIONS'] = `--max-old-space-size=${HEAP_MIB}`
const fleet = await startFleet({
  policy: fleetPolicy(issuer),
  upstreamUrl: upstream.url,
  databaseUrl: null,
  redisUrl: null,
  count: 1,
})
const node = fleet.nodes[0]!
const pool = new Pool(node.url, { connections: CONCURRENCY })
const host = new URL(fleet.origin).host
const good = await Promise.all(Array.from({ length: 20 }, (_, at) => issuer.sign({ sub: `good-${at}` })))
const problems: string[] = []

try {
  const quietMs = await goodLatencies(200)
  print(`at rest: ${megabytes(rssBytes())} MiB, a good request takes ${percentile(quietMs, 0.5).toFixed(2)} ms (p50)`)
  for (let sent = 0; sent < TOKENS; sent += BATCH) {
    const tokens = await Promise.all(Array.from({ length: BATCH }, (_, at) => make(sent + at)))
    const flood = sendAll(tokens)
    const busyMs = await goodLatencies(20)
    await flood
    const bytes = rssBytes()
    if (bytes > RSS_BYTES_MAX)
      throw new Error(`memory is ${megabytes(bytes)} MiB, more than ${megabytes(RSS_BYTES_MAX)}`)
    if ((sent / BATCH) % 50 === 0) {
      print(
        `${sent + BATCH} tokens: ${megabytes(bytes)} MiB, a good request takes ${percentile(busyMs, 0.5).toFixed(2)} ms`,
      )
    }
  }
  print(`${TOKENS} tokens; good callers refused: ${problems.length}; memory ${megabytes(rssBytes())} MiB`)
  if (problems.length > 0) throw new Error(problems.slice(0, 3).join('\n'))
} finally {
  await pool.destroy()
  await fleet.close()
  await upstream.close()
}

/** Every other one is forged. */
async function make(at: number): Promise<{ readonly token: string; readonly isGood: boolean }> {
  if (at % 2 === 0) return { token: await issuer.sign({ sub: `caller-${at}`, jti: `t-${at}` }), isGood: true }
  const nowSeconds = Math.floor(Date.now() / 1000)
  const token = await new SignJWT({ iss: ISSUER, aud: 'books', sub: `forged-${at}`, exp: nowSeconds + 3600 })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })
    .sign(forger.privateKey)
  return { token, isGood: false }
}

async function sendAll(tokens: readonly { readonly token: string; readonly isGood: boolean }[]): Promise<void> {
  const left = [...tokens]
  await Promise.all(
    Array.from({ length: CONCURRENCY - 4 }, async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const status = await ask(next.token)
        if (status !== (next.isGood ? 200 : 401)) problems.push(`${next.isGood ? 'good' : 'forged'}: ${status}`)
      }
    }),
  )
}

async function goodLatencies(times: number): Promise<number[]> {
  const ms: number[] = []
  for (let at = 0; at < times; at += 1) {
    const startedAtMs = performance.now()
    const status = await ask(good[at % good.length]!)
    ms.push(performance.now() - startedAtMs)
    if (status !== 200) problems.push(`steady: ${status}`)
  }
  return ms
}

async function ask(token: string): Promise<number> {
  const answer = await pool.request({
    method: 'GET',
    path: '/api/whoami',
    headers: { host, authorization: `Bearer ${token}` },
  })
  await answer.body.dump()
  return answer.statusCode
}

function rssBytes(): number {
  const pages = Number(readFileSync(`/proc/${node.pid()}/statm`, 'utf8').split(' ')[1])
  return pages * 4096
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1024 ** 2)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
