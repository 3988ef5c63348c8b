/** Two nodes on one database and one Redis, each of which can fail on command, and what may be revoked on the first. */

import { DatabaseSync } from 'node:sqlite'
import { openDatabase } from '../../stores/database/open.ts'
import { redisCarrier } from '../../stores/redis/carrier.ts'
import { connectRedis } from '../../stores/redis/connect.ts'
import { openChoke, type TestChoke } from './choke.ts'
import { createStore, type StoreKind, startNode, type TestNode } from './identity.ts'
import { startSwitch } from './switch.ts'

export const MAX_STALENESS_MS = 2000
export const SECRET = 'the first secret, which is long enough'

export interface TwoNodes {
  readonly here: TestNode
  readonly there: TestNode
  /** In process on the first node, past the doors. */
  readonly inside: TestChoke
  /** The first node cannot write to the database any more; resolves once that is so. */
  stopDatabase(): Promise<void>
  startDatabase(): Promise<void>
  close(): Promise<void>
}

export async function startTwoNodes(kind: StoreKind, redisUrl: string): Promise<TwoNodes> {
  const store = await createStore(kind)
  const line = kind === 'postgres' ? await startSwitch(store.url) : null
  const closing: (() => unknown)[] = []
  const start = async (more: Parameters<typeof startNode>[1]) => {
    const redis = await connectRedis(redisUrl, () => {})
    const carrier = redisCarrier(redis, redisUrl, () => {})
    closing.push(
      () => carrier.close(),
      () => redis.disconnect(),
    )
    return startNode(store, { carrier, isAlone: false, maxStalenessMs: MAX_STALENESS_MS, secrets: [SECRET], ...more })
  }
  const here = await start(line === null ? {} : { database: await openDatabase(line.url, '') })
  const there = await start({})
  const inside = await openChoke(here.database, {
    secrets: [SECRET],
    committed: (written) => here.revocations.commit(written),
  })
  let lock: DatabaseSync | null = null
  return {
    here,
    there,
    inside,
    async stopDatabase() {
      await line?.cut()
      if (line !== null) return
      // A file cannot go away under its reader; another program can keep it from being written.
      lock = new DatabaseSync((here.database.handle as DatabaseSync).location()!)
      lock.exec('begin immediate')
    },
    async startDatabase() {
      await line?.mend()
      lock?.close()
      lock = null
    },
    async close() {
      for (const close of closing) close()
      await here.stop()
      await there.stop()
      await line?.close()
      await store.remove()
    },
  }
}
