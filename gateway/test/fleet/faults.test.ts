/**
 * What may happen to Redis, and to a node, while something is revoked: nobody gets in past the bound, whoever is good goes on,
 * public routes do not notice, and everything mends itself (SECURITY rules 19 and 23).
 */

import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type Switch, startSwitch } from '../ports/switch.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { type PrivateServer, startPostgres, startRedis } from '../support/servers.ts'
import { keepBusy, measureRevocation } from './measure.ts'
import { createIssuer, fleetPolicy, type TestIssuer } from './policy.ts'
import { createStage, type Stage, SUBJECTS } from './subjects.ts'

const STALENESS_MS = 2_000
/** From the end of a bound to the moment a busy machine gets round to it. */
const SLACK_MS = 700
/** Between the requests that look whether somebody is still let in. */
const PAUSE_MS = 5
const KINDS = ['session, by sign-out', 'API key', 'foreign token, by jti'] as const

let postgres: PrivateServer
let redis: PrivateServer
let between: Switch
let upstream: Upstream
let issuer: TestIssuer
let fleet: Fleet
let stage: Stage
let count = 0

beforeAll(async () => {
  ;[postgres, redis, upstream, issuer] = await Promise.all([
    startPostgres(),
    startRedis(),
    startUpstream(),
    createIssuer(),
  ])
  between = await startSwitch(redis.url)
  fleet = await startFleet({
    policy: fleetPolicy(issuer, `${STALENESS_MS / 1000}s`),
    upstreamUrl: upstream.url,
    databaseUrl: postgres.url,
    redisUrl: between.url,
    count: 2,
  })
  stage = await createStage(fleet, issuer)
}, 120_000)

afterAll(async () => {
  await fleet?.close()
  await between?.close()
  for (const server of [upstream, postgres, redis]) await server?.close()
}, 60_000)

interface Fault {
  readonly title: string
  /** Resolves with what mends it. */
  begin(): Promise<() => Promise<void>>
}

const FAULTS: readonly Fault[] = [
  {
    title: 'Redis stopped by SIGSTOP',
    async begin() {
      redis.pause()
      return async () => redis.resume()
    },
  },
  {
    title: 'Redis killed, and back empty',
    async begin() {
      await redis.kill()
      await redis.start()
      return async () => {}
    },
  },
  {
    title: 'Redis killed, and away',
    async begin() {
      await redis.kill()
      return () => redis.start()
    },
  },
  {
    title: 'connections to Redis reset',
    async begin() {
      await between.cut()
      await between.mend()
      return async () => {}
    },
  },
  {
    title: 'a black hole before Redis',
    async begin() {
      between.freeze()
      return () => between.mend()
    },
  },
  {
    title: 'Redis full',
    async begin() {
      await atRedis((client) => client.config('SET', 'maxmemory', '1'))
      return () => atRedis((client) => client.config('SET', 'maxmemory', '0'))
    },
  },
  {
    title: 'Redis slow by 500 ms',
    async begin() {
      between.slow(500)
      return () => between.mend()
    },
  },
  {
    title: 'a hostile client that trims, deletes, floods and flushes',
    async begin() {
      let isStopped = false
      const running = atRedis(async (client) => {
        for (let at = 0; !isStopped; at += 1) {
          await client.xtrim('postern:revocations', 'MAXLEN', 0)
          await client.xadd('postern:revocations', '*', 'row', `junk ${at}`)
          if (at % 5 === 0) await client.flushall()
        }
      })
      return async () => {
        isStopped = true
        await running
      }
    },
  },
]

for (const { title, begin } of FAULTS) {
  test(`[FR-035] ${title}: no revoked credential passes a node past the bound, nobody else notices, and it mends by itself`, async () => {
    const steady = await steadyCredential()
    const subjects = await Promise.all(KINDS.map((kind) => SUBJECTS[kind]!(stage, `fault-${nextNumber()}`)))
    const publicServed = watchPublic()
    const busy = keepBusy(fleet, [steady], 10)
    // It begins when all are in use on both nodes, and before any is revoked.
    const fault = Promise.withResolvers<() => Promise<void>>()
    let waiting = subjects.length
    const begun = async () => {
      waiting -= 1
      if (waiting === 0) begin().then(fault.resolve, fault.reject)
      await fault.promise
    }
    try {
      const measured = await Promise.all(
        subjects.map((subject) =>
          measureRevocation(fleet, { ...subject, revoke: () => begun().then(() => subject.revoke()) }, PAUSE_MS),
        ),
      )
      for (const { kind, servedMs } of measured) {
        expect([kind, Math.max(...servedMs) < STALENESS_MS + SLACK_MS]).toEqual([kind, true])
      }
      // Past the bound too, with the fault still there.
      await new Promise((resolve) => setTimeout(resolve, STALENESS_MS))
      for (const node of fleet.nodes) {
        for (const { kind, credential } of subjects) {
          expect([kind, (await node.send('GET', '/api/whoami', credential)).status]).toEqual([kind, 401])
        }
      }
      expect(await busy.stop()).toEqual([])
      expect(await publicServed()).toEqual([])
    } finally {
      await (await fault.promise)()
    }
    const endsAtMs = performance.now() + 20_000
    for (let isBack = false; !isBack; ) {
      const token = await SUBJECTS['foreign token, by jti']!(stage, `back-${nextNumber()}`)
      isBack = Math.max(...(await measureRevocation(fleet, token)).delayMs) < STALENESS_MS / 4
      expect(performance.now()).toBeLessThan(endsAtMs)
    }
  }, 60_000)
}

test('[FR-034] while the carrier is away an acknowledgment says so, and says within what time', async () => {
  const key = await SUBJECTS['API key']!(stage, `header-${nextNumber()}`)
  const id = JSON.parse((await fleet.nodes[0]!.admin('GET', '/v1/keys', stage.adminKey)).body).keys.find(
    (row: { name: string }) => row.name === `header-${count}`,
  ).id
  expect(key.credential).toHaveProperty('x-api-key')
  await between.cut()
  try {
    const answer = await fleet.nodes[0]!.admin('DELETE', `/v1/keys/${id}`, stage.adminKey)
    expect(answer.status).toBe(200)
    expect(answer.headers['postern-revocation']).toBe(`within=${STALENESS_MS / 1000}s`)
  } finally {
    await between.mend()
  }
})

test('[FR-035] a node that was stopped for longer than the bound refuses what was revoked meanwhile, with its first answer', async () => {
  const [other, stopped] = fleet.nodes as [Fleet['nodes'][0], Fleet['nodes'][0]]
  const steady = await steadyCredential()
  for (const kind of KINDS) {
    const subject = await SUBJECTS[kind]!({ ...stage, at: other }, `stop-${nextNumber()}`)
    for (const credential of [subject.credential, steady]) {
      expect((await stopped.send('GET', '/api/whoami', credential)).status).toBe(200)
    }
    stopped.signal('SIGSTOP')
    try {
      await subject.revoke()
      const waiting = [subject.credential, steady].map((credential) => stopped.send('GET', '/api/whoami', credential))
      // Its clock goes on while it stands still.
      await new Promise((resolve) => setTimeout(resolve, STALENESS_MS + SLACK_MS))
      stopped.signal('SIGCONT')
      const [revoked, good] = await Promise.all(waiting)
      expect(revoked!.status).toBe(401)
      expect(good!.status).toBe(200)
    } finally {
      stopped.signal('SIGCONT')
    }
  }
}, 60_000)

function nextNumber(): number {
  count += 1
  return count
}

async function steadyCredential(): Promise<Record<string, string>> {
  const name = `steady-${nextNumber()}`
  return { authorization: `Bearer ${await issuer.sign({ sub: name, jti: name })}` }
}

/** Asks a public route of both nodes until told to stop; resolves with what was not 200. */
function watchPublic(): () => Promise<number[]> {
  const wrong: number[] = []
  let isStopped = false
  const loops = fleet.nodes.map(async (node) => {
    while (!isStopped) {
      const { status } = await node.send('GET', '/api/health')
      if (status !== 200) wrong.push(status)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })
  return async () => {
    isStopped = true
    await Promise.all(loops)
    return wrong
  }
}

async function atRedis(work: (client: Redis) => Promise<unknown>): Promise<void> {
  const client = new Redis(redis.url)
  client.on('error', () => {})
  try {
    await work(client)
  } finally {
    client.disconnect()
  }
}
