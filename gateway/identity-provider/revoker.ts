/**
 * Revoking on request, for the command line and the admin API. What ends is removed, and said in the log in the same
 * transaction, so that not even a copy of the database from before brings it back.
 */

import type { DBTransactionAdapter, Where } from '@better-auth/core/db/adapter'
import type { RevocationRequest, Revoker } from '../ports.ts'
import type { Revocation } from '../revocation/entry.ts'
import { nameOfRequest, OWN_SOURCE } from '../revocation/names.ts'
import type { ChokePoint } from './adapter.ts'
import { revocation } from './consequences.ts'

/** Longer than any leeway that a verifier allows, and than clocks of nodes differ. */
const PAST_EXPIRY_MS = 3_600_000

export function createRevoker(deps: { readonly choke: ChokePoint; readonly nowMs: () => number }): Revoker {
  const { choke } = deps
  return {
    nameOf: nameOfRequest,
    async revoke(request) {
      const nowMs = deps.nowMs()
      const { written, isCarried } = await choke.run(async (inner, revoke) => {
        await remove(inner, request)
        revoke([entryFor(request, nowMs)])
      })
      return { sequences: written.map(({ entry }) => entry.sequence), isCarried }
    },
  }
}

async function remove(inner: DBTransactionAdapter, request: RevocationRequest): Promise<void> {
  const by = (field: string, value: string): Where[] => [{ field, value }]
  switch (request.kind) {
    case 'session':
      await inner.deleteMany({ model: 'session', where: by('id', request.id) })
      return
    case 'subject':
      await inner.deleteMany({ model: 'session', where: by('userId', request.subject) })
      await inner.deleteMany({ model: 'apikey', where: by('referenceId', request.subject) })
      return
    case 'key':
      await inner.deleteMany({ model: 'apikey', where: by('id', request.id) })
      return
    case 'kid':
      // The next token that is signed finds no key and makes one.
      if (request.source === OWN_SOURCE) await inner.deleteMany({ model: 'jwks', where: by('id', request.kid) })
      return
    case 'token':
    case 'issuer':
    case 'everything':
      return
  }
}

function entryFor(request: RevocationRequest, nowMs: number): Revocation {
  const name = nameOfRequest(request)
  if (request.kind !== 'token') return revocation('end', name, nowMs)
  const { subject } = request
  const expiresAtMs = request.expiresAtMs === null ? null : Math.max(request.expiresAtMs, nowMs) + PAST_EXPIRY_MS
  return revocation('end', name, nowMs, { subject, expiresAtMs })
}
