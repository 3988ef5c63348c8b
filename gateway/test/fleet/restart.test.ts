/** What was acknowledged outlives the processes that acknowledged it, and Redis: on Postgres with two nodes, and on SQLite with one. */

import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { createStore } from '../ports/identity.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { type PrivateServer, startRedis } from '../support/servers.ts'
import type { Subject } from './measure.ts'
import { createIssuer, fleetPolicy } from './policy.ts'
import { createStage, type Stage, SUBJECTS } from './subjects.ts'

for (const kind of ['postgres', 'sqlite'] as const) {
  describe(kind, () => {
    let redis: PrivateServer
    let store: Awaited<ReturnType<typeof createStore>>
    let upstream: Upstream
    let fleet: Fleet
    let stage: Stage

    beforeAll(async () => {
      const issuer = await createIssuer()
      ;[redis, store, upstream] = await Promise.all([startRedis(), createStore(kind), startUpstream()])
      fleet = await startFleet({
        policy: fleetPolicy(issuer),
        upstreamUrl: upstream.url,
        databaseUrl: store.url || null,
        redisUrl: redis.url,
        count: kind === 'postgres' ? 2 : 1,
      })
      stage = await createStage(fleet, issuer)
    }, 120_000)

    afterAll(async () => {
      await fleet?.close()
      await upstream?.close()
      await store?.remove()
      await redis?.close()
    }, 60_000)

    const ends: readonly (readonly [title: string, end: () => Promise<void>])[] = [
      [
        'the node that acknowledged is killed',
        async () => {
          await fleet.nodes[0]!.kill()
          await fleet.nodes[0]!.start()
        },
      ],
      [
        'all nodes are killed',
        async () => {
          await Promise.all(fleet.nodes.map((node) => node.kill()))
          await Promise.all(fleet.nodes.map((node) => node.start()))
        },
      ],
      [
        'all nodes are killed and Redis is flushed',
        async () => {
          await Promise.all(fleet.nodes.map((node) => node.kill()))
          const client = new Redis(redis.url)
          await client.flushall()
          client.disconnect()
          await Promise.all(fleet.nodes.map((node) => node.start()))
        },
      ],
    ]
    // Where there is one node, it is all of them.
    const tried = kind === 'postgres' ? ends : ends.slice(1)
    for (const [at, [title, end]] of tried.entries()) {
      test(`[FR-035] ${kind}: ${title} right after its acknowledgment, and what was revoked stays so`, async () => {
        const subjects: Subject[] = []
        for (const [each, make] of Object.values(SUBJECTS).entries()) {
          subjects.push(await make({ ...stage, at: fleet.nodes[0]! }, `${kind}-end${at}-${each}`))
        }
        const good = await SUBJECTS['foreign token, by jti']!(stage, `${kind}-good${at}`)
        for (const { credential } of [...subjects, good]) expect(await statuses(credential)).toEqual(all(200))
        await Promise.all(subjects.map((subject) => subject.revoke()))
        await end()
        for (const subject of subjects)
          expect([subject.kind, await statuses(subject.credential)]).toEqual([subject.kind, all(401)])
        expect(await statuses(good.credential)).toEqual(all(200))
      }, 90_000)
    }

    async function statuses(credential: Readonly<Record<string, string>>): Promise<number[]> {
      const answers = await Promise.all(fleet.nodes.map((node) => node.send('GET', '/api/whoami', credential)))
      return answers.map(({ status }) => status)
    }

    function all(status: number): number[] {
      return fleet.nodes.map(() => status)
    }
  })
}
