/** The keys our tokens are signed with, kept in memory for verifying: read off the request path, and the last good ones survive an outage. */

import type { AuthContext } from '@better-auth/core'
import type { DBAdapter } from '@better-auth/core/db/adapter'
import { symmetricDecrypt, symmetricEncrypt } from 'better-auth/crypto'
import { createJwk } from 'better-auth/plugins/jwt'
import { ALGORITHM, type KeyFinder, keyFinder, publicPart } from '../jwt/keys.ts'

interface Row {
  readonly id: string
  readonly publicKey: string
  readonly privateKey: string
  readonly expiresAt?: Date | null
}

/** How long a key that signs no more is published: longer than any token it signed lives. */
const KEEP_AFTER_MS = 3_600_000

export interface TokenKeys {
  readonly finder: KeyFinder
  publicKeys(): readonly object[]
  /** Rejects when the store is down; what was known stays. */
  refresh(nowMs: number): Promise<void>
}

export function createTokenKeys(lookups: DBAdapter): TokenKeys {
  let published: readonly object[] = []
  let find = keyFinder({ keys: [] })
  return {
    finder: (header, token) => find(header, token),
    publicKeys: () => published,
    async refresh(nowMs) {
      const rows = await lookups.findMany<Row>({ model: 'jwks', limit: 100 })
      const kept = rows.filter((row) => row.expiresAt == null || row.expiresAt.getTime() + KEEP_AFTER_MS > nowMs)
      published = kept.map((row) => publicPart(JSON.parse(row.publicKey), row.id))
      find = keyFinder({ keys: published })
    },
  }
}

/**
 * Makes sure, under the migration lock, that there is a key we can sign with. Keys sealed with an older secret are sealed
 * again with the newest; one whose secret is gone signs no more, and what it signed is still verified while it lives.
 */
export async function prepareTokenKeys(context: AuthContext, nowMs: number): Promise<void> {
  const { adapter } = context
  const rows = await adapter.findMany<Row>({ model: 'jwks', limit: 100 })
  let canSign = false
  for (const row of rows) {
    if (row.expiresAt != null && row.expiresAt.getTime() <= nowMs) continue
    const where = [{ field: 'id', value: row.id }]
    try {
      const key = context.secretConfig
      const privateKey = await symmetricDecrypt({ key, data: JSON.parse(row.privateKey) })
      canSign = true
      if (isSealedWithNewest(context, JSON.parse(row.privateKey))) continue
      const sealed = JSON.stringify(await symmetricEncrypt({ key, data: privateKey }))
      await adapter.update({ model: 'jwks', where, update: { privateKey: sealed } })
    } catch {
      await adapter.update({ model: 'jwks', where, update: { expiresAt: new Date(nowMs) } })
    }
  }
  if (!canSign) await createJwk({ context } as Parameters<typeof createJwk>[0], TOKEN_KEY_OPTIONS)
}

/** The version stands in the text: `$ba$<version>$…`. */
function isSealedWithNewest(context: AuthContext, sealed: unknown): boolean {
  const { secretConfig } = context
  const version = typeof secretConfig === 'string' ? null : secretConfig.currentVersion
  return typeof sealed === 'string' && sealed.startsWith(`$ba$${version}$`)
}

/** The options of the jwt plug-in that concern its keys. */
export const TOKEN_KEY_OPTIONS = { jwks: { keyPairConfig: { alg: ALGORITHM } } } as const
