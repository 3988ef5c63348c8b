/** The identity provider on a real database behind the choke point, without doors and without a follower: for what happens in process. */

import type { DBAdapter } from '@better-auth/core/db/adapter'
import { getMigrations } from 'better-auth/db/migration'
import { type ChokePoint, chokePoint } from '../../identity-provider/adapter.ts'
import { type Auth, authOptions, createAuth, createPlainAuth } from '../../identity-provider/auth.ts'
import { type LogStore, logSeal, logStore, type Seals } from '../../identity-provider/log-store.ts'
import { primitives } from '../../node/crypto.ts'
import type { Database } from '../../ports.ts'
import { decodeEntry } from '../../revocation/entry.ts'
import type { Written } from '../../revocation/log.ts'
import { AUTH_SETTINGS } from './identity.ts'

export interface TestChoke {
  readonly auth: Auth
  readonly plain: DBAdapter
  readonly choke: ChokePoint
  readonly entries: LogStore
  readonly seals: Seals
  /** What was told after each commit, in order. */
  readonly committed: Written[]
  readonly logged: unknown[]
  /** The log from the entry after `head`, as `end key:k_1`. */
  since(head: number): Promise<readonly string[]>
  head(): Promise<number>
}

export async function openChoke(
  database: Database,
  more: {
    readonly secrets?: readonly string[]
    readonly committed?: (written: readonly Written[]) => Promise<boolean>
    readonly nowMs?: () => number
  } = {},
): Promise<TestChoke> {
  const { secrets = ['one secret'], nowMs = Date.now } = more
  const options = authOptions(AUTH_SETTINGS, database.handle)
  const plain = (await createPlainAuth(options).$context).adapter
  const seals = logSeal(
    primitives,
    secrets.map((secret) => primitives.hkdfSha256(secret, 'revocation-log')),
  )
  const logged: unknown[] = []
  const entries = logStore({ database, writes: plain, seals, nowMs, log: (error) => logged.push(error) })
  await database.withMigrationLock(async () => {
    const { runMigrations } = await getMigrations(options)
    await runMigrations()
    await entries.prepare()
  })
  const committed: Written[] = []
  const choke = chokePoint(plain, {
    append: entries.append,
    async committed(written) {
      committed.push(...written)
      return more.committed === undefined || more.committed(written)
    },
    uncertain: () => {},
    sha256: primitives.sha256,
    nowMs,
  })
  const auth = createAuth(authOptions(AUTH_SETTINGS, () => choke.adapter))
  await auth.$context
  return {
    auth,
    plain,
    choke,
    entries,
    seals,
    committed,
    logged,
    head: async () => (await entries.reader.read(0)).head,
    async since(head) {
      const { rows } = await entries.reader.read(head + 1)
      return rows.map(({ entry }) => {
        const { effect, name } = decodeEntry(entry)!
        return `${effect} ${name}`
      })
    },
  }
}
