/**
 * Opens the identity provider: migrates, derives keys, wraps the adapter, and hands out the ports it fills. Nothing is
 * served before this has resolved; it rejects when the database cannot be asked.
 */

import type { DBAdapter } from '@better-auth/core/db/adapter'
import { getMigrations } from 'better-auth/db/migration'
import type { RateRule } from '../model.ts'
import type {
  AssertionSource,
  Counters,
  Database,
  IdentityProvider,
  Primitives,
  Sealer,
  SessionSource,
  TokenVerifier,
} from '../ports.ts'
import { watchAdapter } from './adapter.ts'
import { createAssertions } from './assertions.ts'
import { type AuthSettings, authOptions, createAuth, createPlainAuth } from './auth.ts'
import { cookieCodec } from './cookie.ts'
import { createEndings } from './endings.ts'
import { createHandler } from './handler.ts'
import { keyStore, migrateKeyStore } from './key-store.ts'
import { quietLog } from './quiet.ts'
import { createRevocations } from './revocations.ts'
import { createSealer } from './sealer.ts'
import { deriveKeys } from './secrets.ts'
import { sessionRows } from './session-rows.ts'
import { createSessions } from './sessions.ts'
import { createSigningKeys, RELOAD_MS } from './signing-keys.ts'
import { createTokenKeys, prepareTokenKeys } from './token-keys.ts'
import { createTokens } from './tokens.ts'
import { createUsers, type Users } from './users.ts'

export interface IdentityOptions {
  /** The public URL without a trailing slash: issuer and audience of our tokens, and what an Origin must equal. */
  readonly origin: string
  /** As in `AdmissionRules.sessionCookieName`. */
  readonly cookieName: string
  /** Newest first. */
  readonly secrets: readonly string[]
  readonly database: Database
  readonly primitives: Primitives
  readonly counters: Counters
  readonly login: LoginSettings
  readonly nowMs: () => number
  /** Hears of outages and of what needs an operator; never of a secret. */
  readonly log: (error: unknown) => void
}

export interface LoginSettings {
  readonly signup: 'open' | 'invite' | 'closed'
  readonly idleMs: number
  readonly maxMs: number
  /** Per client address. */
  readonly signInLimit: RateRule
  readonly signUpLimit: RateRule
}

export interface OpenIdentityProvider {
  readonly provider: IdentityProvider
  readonly sessions: SessionSource
  readonly tokens: TokenVerifier
  readonly assertions: AssertionSource
  readonly sealer: Sealer
  readonly users: Users
  /** Stops the timers. The database stays its opener's to close. */
  close(): void
}

const EXPIRED_KEPT_MS = 86_400_000

export async function openIdentityProvider(options: IdentityOptions): Promise<OpenIdentityProvider> {
  const { origin, cookieName, database, primitives, login, nowMs } = options
  const log = quietLog(options.log, nowMs)
  const keys = deriveKeys(primitives, options.secrets)
  const isSignupOpen = login.signup === 'open'
  const settings: AuthSettings = {
    origin,
    cookieName,
    secrets: keys.provider,
    isSignupOpen,
    idleMs: login.idleMs,
    signInLimit: login.signInLimit,
    signUpLimit: login.signUpLimit,
    counters: options.counters,
    nowMs,
    log,
  }
  const plain = await createPlainAuth(authOptions(settings, database.handle)).$context
  const writes = plain.adapter
  const lookups = (await createPlainAuth(authOptions(settings, database.readHandle)).$context).adapter

  await database.withMigrationLock(async () => {
    const { runMigrations } = await getMigrations(authOptions(settings, database.handle))
    await runMigrations()
    await migrateKeyStore(database)
    await prepareTokenKeys(plain, nowMs())
  })

  const revocations = createRevocations()
  const watched = watchAdapter(writes, revocations.revoke)
  const auth = createAuth(authOptions(settings, () => watched))
  const context = await auth.$context
  const endings = createEndings(watched)
  const cookies = cookieCodec(
    primitives,
    keys.provider.map((key) => key.value),
    { name: cookieName, isSecure: origin.startsWith('https:') },
  )
  const sessions = createSessions({
    rows: sessionRows(lookups, writes),
    cookies,
    revocations,
    settings: { issuer: origin, idleMs: login.idleMs, maxMs: login.maxMs },
    log,
  })
  const tokenKeys = createTokenKeys(lookups)
  const signingKeys = createSigningKeys({
    store: keyStore(database),
    encryptionKeys: keys.keyEncryption,
    withLock: database.withMigrationLock,
    log,
  })
  await Promise.all([tokenKeys.refresh(nowMs()), signingKeys.refresh(nowMs())])

  const stop = repeat(RELOAD_MS, async () => {
    const results = await Promise.allSettled([
      tokenKeys.refresh(nowMs()),
      signingKeys.refresh(nowMs()),
      removeExpired(writes, nowMs()),
    ])
    for (const result of results) if (result.status === 'rejected') log(result.reason)
  })
  const publicKeys = async () => ({ keys: [...tokenKeys.publicKeys(), ...signingKeys.publicKeys()] })

  return {
    provider: {
      signup: login.signup,
      handle: createHandler({
        origin,
        cookieName,
        isSignupOpen,
        cookies,
        sessions,
        serve: (request) => auth.handler(request),
        endings,
        publicKeys,
        nowMs,
        log,
      }),
      publicKeys,
      isReady: () => database.isReady(),
    },
    sessions,
    tokens: createTokens({ origin, keys: tokenKeys, sessions }),
    assertions: createAssertions(signingKeys, origin, log),
    sealer: createSealer(primitives, keys.seal),
    users: createUsers(auth, context, endings),
    close: stop,
  }
}

/** Sessions that ended by themselves are nobody's any more: removing them revokes nothing, so it is not announced. */
async function removeExpired(writes: DBAdapter, nowMs: number): Promise<void> {
  const where = [{ field: 'expiresAt', value: new Date(nowMs - EXPIRED_KEPT_MS), operator: 'lt' as const }]
  await writes.deleteMany({ model: 'session', where })
}

/** Runs `work` again and again, never twice at once. */
function repeat(everyMs: number, work: () => Promise<void>): () => void {
  let isStopped = false
  let timer = setTimeout(next, everyMs)
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
  async function next(): Promise<void> {
    await work()
    if (!isStopped) timer = setTimeout(next, everyMs)
  }
}
