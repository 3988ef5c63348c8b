/** Issuers as the gateway opens them, on a clock, a log and users that a test holds in its hands. */

import { bearerTokens } from '../../credentials/bearer.ts'
import { type IssuerSettings, openTokenIssuers } from '../../credentials/issuers.ts'
import { type Authentication, Refusal } from '../../model.ts'
import { primitives } from '../../node/crypto.ts'
import type { LocalUser, Outbound, TokenVerifier } from '../../ports.ts'
import { cacheOf, type NodeOptions } from './credentials.ts'
import { type ScriptedRevocations, scriptedRevocations } from './revocations.ts'

export const KEY_CACHE: IssuerSettings['keyCache'] = {
  maxAgeMs: 600_000,
  keepMs: 86_400_000,
  cooldownMs: 30_000,
  timeoutMs: 3000,
  bytesMax: 262_144,
}

export function entryOf(more: Partial<IssuerSettings> & { readonly name: string }): IssuerSettings {
  return {
    issuer: `https://${more.name}.example.com`,
    audiences: ['books'],
    algorithms: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'],
    jwksUrl: null,
    keys: null,
    allowOrigins: [],
    introspection: null,
    claims: { roles: 'roles', scopes: 'scope', groups: null, email: null, name: null, more: {} },
    require: {},
    roles: [],
    mfa: { amr: [], acr: [] },
    isLocal: false,
    leewayMs: 5000,
    keyCache: KEY_CACHE,
    ...more,
  }
}

/** Stands where our own tokens and sessions are verified, and says that it was asked. */
export const OWN = Object.freeze(new Refusal('token.malformed', { log: 'asked our own' }))
export const SESSION = Object.freeze(new Refusal('token.session-ended', { log: 'asked our sessions' }))

const own: TokenVerifier = { verifyToken: () => OWN }
/** For issuers whose keys stand in their entry: nothing may be fetched. */
export const NO_OUTBOUND: Outbound = { send: () => Promise.reject(new Error('nothing is fetched here')) }

export interface TestTokens {
  readonly verify: (token: string, nowMs: number) => Promise<Authentication | Refusal>
  readonly verifier: TokenVerifier
  readonly revocations: ScriptedRevocations
  readonly users: Map<string, LocalUser>
  readonly state: { isDirectoryDown: boolean }
  readonly logged: string[]
  readonly cache: ReturnType<typeof cacheOf>
  status: Awaited<ReturnType<typeof openTokenIssuers>>['status']
  close(): void
}

export async function testTokens(
  entries: readonly IssuerSettings[],
  options: {
    readonly outbound?: Outbound
    readonly monotonicMs?: () => number
  } & NodeOptions<ScriptedRevocations> = {},
): Promise<TestTokens> {
  const { outbound = NO_OUTBOUND, monotonicMs = () => performance.now() } = options
  const revocations = options.revocations ?? scriptedRevocations()
  const cache = cacheOf({ ...options, revocations })
  const users = new Map<string, LocalUser>()
  const state = { isDirectoryDown: false }
  const logged: string[] = []
  const issuers = await openTokenIssuers(entries, {
    credentials: cache,
    directory: {
      async find(id) {
        if (state.isDirectoryDown) throw new Error('the database is away')
        return users.get(id) ?? null
      },
    },
    outbound,
    primitives,
    monotonicMs,
    log: (error) => logged.push(String(error)),
  })
  await issuers.start()
  const verifier = bearerTokens({
    own,
    sessions: { verifyBearer: () => SESSION },
    issuers: issuers.all,
    credentials: cache,
  })
  return {
    verifier,
    verify: async (token, nowMs) => verifier.verifyToken(token, nowMs),
    revocations,
    users,
    state,
    logged,
    cache,
    status: issuers.status,
    close: issuers.close,
  }
}

export function localUser(id: string, more: Partial<LocalUser> = {}): LocalUser {
  return {
    id,
    email: `${id}@example.com`,
    emailVerified: true,
    name: id,
    roles: ['admin'],
    bannedUntilMs: null,
    ...more,
  }
}
