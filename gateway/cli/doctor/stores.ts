/** Examines what a gateway keeps its state in: the secret, the database, Redis, and whether their clocks agree with ours. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../node/config-file.ts'
import { resolveSecrets } from '../../node/secret.ts'
import { openDatabase } from '../../stores/database/open.ts'
import { connectRedis } from '../../stores/redis/connect.ts'
import { type Finding, good, warning, wrong } from './finding.ts'

/** Tokens are dated with a leeway of seconds, so a clock that is further off refuses good ones. */
const CLOCK_MS_MAX = 2000

/** `because`: why the secret must be given, or null. */
export function examineSecret({ store }: Config, dataDir: string, because: string | null): Finding {
  const about = 'secret'
  try {
    if (store.secrets.length === 0 && because === null && !existsSync(join(dataDir, 'secret'))) {
      return good(about, `is made in ${dataDir} at the first start`)
    }
    resolveSecrets({ given: store.secrets, because, dataDir })
    return good(about, store.secrets.length === 0 ? `is the one in ${dataDir}` : 'is given, and long enough')
  } catch (error) {
    return wrong(about, textOf(error), 'make one with `postern secret`, and name it under `store.secret`')
  }
}

export async function examineDatabase({ store }: Config, dataDir: string): Promise<Finding[]> {
  const about = 'database'
  if (store.database === undefined) {
    const isThere = existsSync(join(dataDir, 'postern.db'))
    return [good(about, isThere ? `SQLite in ${dataDir}` : `SQLite, made in ${dataDir} at the first start`)]
  }
  try {
    const database = await openDatabase(store.database, dataDir)
    try {
      const askedAtMs = Date.now()
      const [row] = await database.query('select extract(epoch from clock_timestamp()) * 1000 as now_ms')
      const elsewhereMs = Number(row?.['now_ms'])
      return [good(about, 'answers'), examineClock('clock of the database', elsewhereMs, askedAtMs, Date.now())]
    } finally {
      await database.close()
    }
  } catch (error) {
    return [wrong(about, textOf(error), 'start it, or correct `store.database`')]
  }
}

export async function examineRedis({ store }: Config): Promise<Finding[]> {
  const about = 'Redis'
  if (store.redis === undefined) return [good(about, 'is not used: limits and revocations are of one node')]
  try {
    const redis = await connectRedis(store.redis, () => {})
    try {
      const askedAtMs = Date.now()
      const [seconds, micros] = await redis.time()
      const elsewhereMs = Number(seconds) * 1000 + Number(micros) / 1000
      return [good(about, 'answers'), examineClock('clock of Redis', elsewhereMs, askedAtMs, Date.now())]
    } finally {
      redis.disconnect()
    }
  } catch (error) {
    return [wrong(about, textOf(error), 'start it, or correct `store.redis`')]
  }
}

/** The other clock was read between two readings of ours, so it may lie anywhere between them. */
export function examineClock(about: string, elsewhereMs: number, beforeMs: number, afterMs: number): Finding {
  const offMs = elsewhereMs < beforeMs ? beforeMs - elsewhereMs : Math.max(0, elsewhereMs - afterMs)
  if (offMs <= CLOCK_MS_MAX) return good(about, 'agrees with ours')
  const message = `is ${Math.round(offMs / 1000)} s off ours`
  return warning(about, message, 'let both machines keep time (NTP): tokens are refused when clocks disagree')
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
