/**
 * API keys of machine clients: made and ended through the identity provider, verified here. A request reads and never writes,
 * and a key acts for its owner with the owner's present roles, so whatever happens to the owner happens to the key.
 */

import type { CacheScope, CredentialCache, Verified } from '../credentials/cache.ts'
import { type Principal, Refusal } from '../model.ts'
import type { ApiKeyDesk, KeyVerifier, LocalUser, Primitives, Revoker, UserDirectory } from '../ports.ts'
import { nameOf } from '../revocation/names.ts'
import type { RateRule } from '../rules.ts'
import { type ApiKeyRow, type ApiKeyRows, RATE, SCOPES } from './api-key-rows.ts'
import { type Auth, KEY_LIFE_DAYS_MAX } from './auth.ts'
import { isBanned } from './user-directory.ts'

export interface KeySettings {
  /** As `keys.prefix`. */
  readonly prefix: string
  /** As `keys.limit`: of a key that was made without a limit of its own. */
  readonly limit: RateRule
}

export interface ApiKeys extends ApiKeyDesk {
  list(ownerId: string | null): Promise<readonly ApiKeyRow[]>
  /** As `revoke`, but the key can be enabled again. */
  setEnabled(id: string, isEnabled: boolean): Promise<boolean>
  /** False when there is no such key. Resolves once it is in the log. */
  revoke(id: string): Promise<boolean>
}

/** Letters after the prefix, as the identity provider makes them: 364 bits. */
const SECRET_CHARS = 64
const SECRET = /^[A-Za-z]+$/
const ENTRY_LIFE_MS = 60_000
const LOOKUP_DEADLINE_MS = 250
const NAME = /^[^\p{C}]{1,32}$/u
/** RFC 6749 §3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/
const SCOPES_MAX = 64

const NONE: readonly string[] = Object.freeze([])
const MALFORMED = Object.freeze(new Refusal('key.malformed'))
const UNKNOWN = Object.freeze(new Refusal('key.unknown'))
const ENDED = Object.freeze(new Refusal('key.ended'))
const OWNER = Object.freeze(new Refusal('key.owner'))

export function createKeyVerifier(deps: {
  readonly origin: string
  readonly settings: KeySettings
  readonly rows: ApiKeyRows
  readonly directory: UserDirectory
  readonly credentials: Pick<CredentialCache, 'lookUp'>
  readonly primitives: Primitives
}): KeyVerifier {
  const { origin, settings, rows, directory, credentials, primitives } = deps
  const { prefix, limit } = settings
  const verifier = primitives.sha256(JSON.stringify([origin, prefix, limit.burst, limit.intervalMs]))
  const scope: CacheScope = { kind: 'key', verifier, ended: ENDED }

  return {
    verifyKey(key, nowMs) {
      if (!isWellFormed(key)) return MALFORMED
      return credentials.lookUp(scope, key, nowMs, () => verify(key, nowMs), LOOKUP_DEADLINE_MS)
    },
  }

  /** What we cannot have made is refused before anything is hashed or asked. */
  function isWellFormed(key: string): boolean {
    return (
      key.length === prefix.length + SECRET_CHARS && key.startsWith(prefix) && SECRET.test(key.slice(prefix.length))
    )
  }

  async function verify(key: string, nowMs: number): Promise<Verified | Refusal> {
    const row = await rows.findByHash(primitives.sha256(key))
    if (row === null) return UNKNOWN
    const expiresAtMs = row.expiresAtMs ?? Number.POSITIVE_INFINITY
    if (!row.isEnabled || expiresAtMs <= nowMs) return ENDED
    const owner = await directory.find(row.ownerId)
    if (owner === null || isBanned(owner, nowMs)) return OWNER
    return {
      principal: principalOf(row, owner, origin, expiresAtMs),
      names: Object.freeze([nameOf.key(row.id), nameOf.subject(owner.id)]),
      issuedAtMs: row.createdAtMs,
      rate: row.rate ?? limit,
      staleAtMs: Math.min(nowMs + ENTRY_LIFE_MS, expiresAtMs),
    }
  }
}

export function createApiKeys(deps: {
  readonly prefix: string | null
  readonly auth: Auth
  readonly rows: ApiKeyRows
  readonly directory: UserDirectory
  readonly revoker: Revoker
  readonly nowMs: () => number
}): ApiKeys {
  const { prefix, auth, rows, directory, revoker, nowMs } = deps
  return {
    async create({ ownerId, name, scopes, expiresAtMs, rate }) {
      if (prefix === null) throw new RangeError('the policy takes no API keys: it has no `keys`')
      if (!NAME.test(name)) throw new RangeError('the name of a key has 1 to 32 characters, none of them a control')
      const bad = scopes.find((scope) => !SCOPE.test(scope))
      if (bad !== undefined)
        throw new RangeError(`no scope can be ${JSON.stringify(bad)}: letters, digits and . : / _ -`)
      if (scopes.length > SCOPES_MAX) throw new RangeError(`a key has ${SCOPES_MAX} scopes at most`)
      // Never later than was asked: the identity provider counts whole seconds.
      const lifeS = expiresAtMs === null ? null : Math.floor((expiresAtMs - nowMs()) / 1000)
      if (lifeS !== null && lifeS < 1) throw new RangeError('a key must live for a second at least')
      if (lifeS !== null && lifeS > KEY_LIFE_DAYS_MAX * 86_400)
        throw new RangeError(`a key lives for ${KEY_LIFE_DAYS_MAX} days at most, or has no end`)
      const owner = await directory.find(ownerId)
      if (owner === null) throw new RangeError(`there is no user ${JSON.stringify(ownerId)}`)
      if (isBanned(owner, nowMs())) throw new RangeError(`the user ${JSON.stringify(ownerId)} is banned`)
      const made = await auth.api.createApiKey({
        body: {
          userId: ownerId,
          name,
          prefix,
          expiresIn: lifeS,
          permissions: { [SCOPES]: [...new Set(scopes)] },
          metadata: rate === null ? {} : { [RATE]: { burst: rate.burst, intervalMs: rate.intervalMs } },
        },
      })
      return { id: made.id, key: made.key }
    },
    list: (ownerId) => rows.list(ownerId),
    async setEnabled(id, isEnabled) {
      const row = await rows.findById(id)
      if (row === null) return false
      await auth.api.updateApiKey({ body: { keyId: id, userId: row.ownerId, enabled: isEnabled } })
      return true
    },
    async revoke(id) {
      if ((await rows.findById(id)) === null) return false
      await revoker.revoke({ kind: 'key', id })
      return true
    },
  }
}

/** The owner's identity and present roles, and the scopes of the key: nobody proved a person's presence with it. */
function principalOf(row: ApiKeyRow, owner: LocalUser, issuer: string, expiresAtMs: number): Principal {
  return Object.freeze<Principal>({
    kind: 'service',
    credential: 'key',
    subject: owner.id,
    issuer,
    source: null,
    email: owner.email,
    emailVerified: owner.emailVerified,
    name: owner.name,
    roles: Object.freeze(owner.roles),
    scopes: Object.freeze(row.scopes),
    groups: NONE,
    claims: {},
    sessionId: null,
    tokenId: null,
    keyId: row.id,
    authenticatedAtMs: null,
    methods: NONE,
    hasSecondFactor: false,
    expiresAtMs,
  })
}
