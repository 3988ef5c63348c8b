/**
 * `npm run bench:credentials`: what a request costs this node's CPU by how its credential is known: in memory, in Redis, or not at
 * all, for each algorithm, in interleaved rounds of one run. The upstream and the client are other processes, so only the node is counted.
 */

import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { Pool } from 'undici'
import { startUpstream } from '../../upstream-mock/server.ts'
import { percentile } from '../test/fleet/measure.ts'
import { createIssuer, fleetPolicy } from '../test/fleet/policy.ts'
import { createStage, SUBJECTS } from '../test/fleet/subjects.ts'
import { startFleet } from '../test/support/fleet.ts'
import { startPostgres, startRedis } from '../test/support/servers.ts'

const ROUNDS = 5
const REQUESTS = 1_500
const CONCURRENCY = 16
const TICKS_PER_SECOND = 100
const ALGORITHMS = ['ES256', 'RS256', 'PS256', 'EdDSA'] as const

type Sign = (at: number) => Promise<string>

const signers = new Map<string, Sign>()
const jwks: object[] = []
for (const algorithm of ALGORITHMS) {
  const { publicKey, privateKey } = await generateKeyPair(algorithm)
  jwks.push({ ...(await exportJWK(publicKey)), kid: algorithm, alg: algorithm, use: 'sig' })
  signers.set(algorithm, (at) =>
    new SignJWT({ sub: `${algorithm}-${at}`, jti: `${algorithm}-${at}` })
      .setProtectedHeader({ alg: algorithm, kid: algorithm, typ: 'at+jwt' })
      .setIssuer('https://bench.example.com')
      .setAudience('books')
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey),
  )
}

const [postgres, redis, upstream, issuer] = await Promise.all([
  startPostgres(),
  startRedis(),
  startUpstream(),
  createIssuer(),
])
const bench = `  bench: { issuer: https://bench.example.com, audience: books, keys: ${JSON.stringify(jwks)} }\n`
const fleet = await startFleet({
  policy: fleetPolicy(issuer)
    .replace('tokens:\n', `tokens:\n${bench}`)
    // A signature per caller would hide what the credential costs.
    .replace('{ url: UPSTREAM }', '{ url: UPSTREAM, assertion: false }'),
  upstreamUrl: upstream.url,
  databaseUrl: postgres.url,
  redisUrl: redis.url,
  count: 2,
})
const host = new URL(fleet.origin).host
const pools = fleet.nodes.map((node) => new Pool(node.url, { connections: CONCURRENCY }))

try {
  const stage = await createStage(fleet, issuer)
  const rows = new Map<string, number[]>()
  const session = await SUBJECTS['session, by sign-out']!(stage, 'bench-session-0')
  const key = await SUBJECTS['API key']!(stage, 'bench-key-0')
  let made = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    await measure('public route', () => ({}), '/api/health')
    await measure('session, in memory', () => session.credential)
    await measure('API key, in memory', () => key.credential)
    for (const algorithm of ALGORITHMS) {
      const sign = signers.get(algorithm)!
      const from = made
      made += REQUESTS
      const tokens = await Promise.all(Array.from({ length: REQUESTS }, (_, at) => sign(from + at)))
      const bearer = (at: number) => ({ authorization: `Bearer ${tokens[at]}` })
      await measure(`${algorithm}, cold`, bearer, '/api/whoami', 1)
      await measure(`${algorithm}, in Redis`, bearer)
      await measure(`${algorithm}, in memory`, (at) => bearer(at % 50))
    }
  }
  const base = percentile(rows.get('public route')!, 0.5)
  print(`${cpus().length} cores, Node ${process.version}, ${ROUNDS} rounds of ${REQUESTS} requests; medians`)
  print('| credential | CPU us a request | more than a public route |')
  print('|---|---|---|')
  for (const [name, values] of rows) {
    const middle = percentile(values, 0.5)
    print(`| ${name} | ${middle.toFixed(0)} | ${(middle - base).toFixed(0)} |`)
  }

  /** `at` 0 is the node that is measured; node 1 only makes Redis know. */
  async function measure(
    name: string,
    credential: (at: number) => Readonly<Record<string, string>>,
    path = '/api/whoami',
    at = 0,
  ): Promise<void> {
    const node = fleet.nodes[at]!
    if (name.endsWith('in memory')) await run(at, 200, credential, path)
    const before = cpuSeconds(node.pid())
    await run(at, REQUESTS, credential, path)
    const us = ((cpuSeconds(node.pid()) - before) * 1e6) / REQUESTS
    rows.set(name, [...(rows.get(name) ?? []), us])
  }
} finally {
  await Promise.all(pools.map((pool) => pool.destroy()))
  await fleet.close()
  for (const server of [upstream, postgres, redis]) await server.close()
}

async function run(
  node: number,
  times: number,
  credential: (at: number) => Readonly<Record<string, string>>,
  path: string,
): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (let at = next++; at < times; at = next++) {
        const answer = await pools[node]!.request({ method: 'GET', path, headers: { host, ...credential(at) } })
        await answer.body.dump()
        if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`)
      }
    }),
  )
}

/** User and system time of all its threads. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
