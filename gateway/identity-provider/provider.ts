/**
 * Opens the identity provider: migrates, derives keys, wraps the adapter, and hands out the ports it fills. Nothing is
 * served before this has resolved; it rejects when the database cannot be asked.
 */

import type { DBAdapter } from '@better-auth/core/db/adapter'
import { getMigrations } from 'better-auth/db/migration'
import { type CredentialEngine, createCredentialCache } from '../credentials/engine.ts'
import type {
  AssertionSource,
  Carrier,
  Counters,
  CredentialStore,
  Database,
  IdentityProvider,
  KeyVerifier,
  Primitives,
  Revoker,
  Sealer,
  TokenVerifier,
  UserDirectory,
} from '../ports.ts'
import { createFollower, type Follower } from '../revocation/follower.ts'
import { EVERYTHING, nameOf, OWN_SOURCE } from '../revocation/names.ts'
import type { RateRule } from '../rules.ts'
import { chokePoint } from './adapter.ts'
import { apiKeyRows } from './api-key-rows.ts'
import { type ApiKeys, createApiKeys, createKeyVerifier, type KeySettings } from './api-keys.ts'
import { createAssertions } from './assertions.ts'
import { migrateAudit } from './audit.ts'
import { type AuthSettings, authOptions, createAuth, createPlainAuth } from './auth.ts'
import { revocation } from './consequences.ts'
import { cookieCodec } from './cookie.ts'
import { createEndings } from './endings.ts'
import { createHandler } from './handler.ts'
import { type Hashing, hashing } from './hashing.ts'
import { keyStore, migrateKeyStore } from './key-store.ts'
import { logSeal, logStore } from './log-store.ts'
import { quietLog } from './quiet.ts'
import { createRevoker } from './revoker.ts'
import { createSealer } from './sealer.ts'
import { deriveKeys } from './secrets.ts'
import { sessionRows } from './session-rows.ts'
import { createSessions, type Sessions } from './sessions.ts'
import { createSigningKeys, RELOAD_MS } from './signing-keys.ts'
import { createTestPeople, type TestPeople } from './test-people.ts'
import { createTokenKeys, prepareTokenKeys } from './token-keys.ts'
import { createTokens } from './tokens.ts'
import { userDirectory } from './user-directory.ts'
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
  /** Null without Redis: other nodes then learn of a revocation when they read the log next. */
  readonly carrier: Carrier | null
  /** No other process serves from this database. */
  readonly isAlone: boolean
  /** Null without Redis: each node then remembers credentials for itself. */
  readonly credentialStore: CredentialStore | null
  /** Absent: the identity provider's own, one at a time. */
  readonly hashing?: Hashing
  readonly login: LoginSettings
  /** Null, or absent, where the policy takes no API keys. */
  readonly keys?: KeySettings | null
  /** As `revocation.maxStaleness`. */
  readonly maxStalenessMs: number
  readonly nowMs: () => number
  readonly monotonicMs: () => number
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
  readonly sessions: Sessions
  readonly tokens: TokenVerifier
  readonly assertions: AssertionSource
  readonly sealer: Sealer
  readonly users: Users
  readonly directory: UserDirectory
  /** For a gateway under development. */
  readonly testPeople: TestPeople
  /** Null where the policy takes no API keys. */
  readonly keys: KeyVerifier | null
  readonly apiKeys: ApiKeys
  /** What verified credentials of every kind are remembered in. */
  readonly credentials: CredentialEngine
  readonly revocations: Follower
  readonly revoker: Revoker
  /** Stops the timers. The database stays its opener's to close. */
  close(): void
}

const EXPIRED_KEPT_MS = 86_400_000
/** How often the log is read where nothing carries it faster: one small statement, and in SQLite some microseconds. */
const POLL_MS = { sqlite: 250, postgres: 1000 } as const
/** Verified credentials in memory; one takes some 2 KiB. */
const CREDENTIALS_MAX = 50_000
const CREDENTIAL_BYTES_MAX = 67_108_864

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
    hashing: options.hashing ?? hashing(1),
    nowMs,
    log,
  }
  const plain = await createPlainAuth(authOptions(settings, database.handle)).$context
  const writes = plain.adapter
  const lookups = (await createPlainAuth(authOptions(settings, database.readHandle)).$context).adapter

  const seals = logSeal(primitives, keys.logSeal)
  const entries = logStore({ database, writes, seals, nowMs, log })
  await database.withMigrationLock(async () => {
    const { runMigrations } = await getMigrations(authOptions(settings, database.handle))
    await runMigrations()
    await migrateKeyStore(database)
    await prepareTokenKeys(plain, nowMs())
    await migrateAudit(database, nowMs())
    await entries.prepare()
  })

  const revocations = createFollower({
    reader: entries.reader,
    seal: seals,
    carrier: options.carrier,
    isAlone: options.isAlone,
    maxStalenessMs: options.maxStalenessMs,
    pollMs: options.carrier === null ? POLL_MS[database.kind] : options.maxStalenessMs / 2,
    nowMs,
    monotonicMs: options.monotonicMs,
    log,
    // An older copy of the database knows nothing of what was revoked since it was made.
    onRewind: (reached) => {
      choke
        .run(async (inner, revoke) => {
          await entries.skipTo(inner, reached)
          revoke([revocation('end', EVERYTHING, nowMs())])
        })
        .catch(log)
    },
  })
  const choke = chokePoint(writes, {
    append: entries.append,
    committed: (written) => revocations.commit(written).catch(() => false),
    uncertain: () => {
      void revocations.catchUp()
    },
    sha256: primitives.sha256,
    nowMs,
  })
  const revoker = createRevoker({ choke, nowMs })
  const auth = createAuth(authOptions(settings, () => choke.adapter))
  const context = await auth.$context
  const endings = createEndings(choke.adapter)
  const users = createUsers(auth, context, endings)
  const directory = userDirectory(lookups)
  const keyDeps = { rows: apiKeyRows(lookups), directory }
  const keySettings = options.keys ?? null
  const cookies = cookieCodec(
    primitives,
    keys.provider.map((key) => key.value),
    { name: cookieName, isSecure: origin.startsWith('https:') },
  )
  const credentials = createCredentialCache({
    revocations,
    store: options.credentialStore,
    sealer: createSealer(primitives, keys.credentialSeal),
    primitives,
    nameKey: keys.credentialName,
    entriesMax: CREDENTIALS_MAX,
    bytesMax: CREDENTIAL_BYTES_MAX,
    log,
  })
  const sessions = createSessions({
    rows: sessionRows(lookups, writes),
    cookies,
    credentials,
    primitives,
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
  await Promise.all([revocations.start(), tokenKeys.refresh(nowMs()), signingKeys.refresh(nowMs())]).catch((error) => {
    revocations.close()
    throw error
  })

  const unsubscribe = revocations.subscribe((names) => {
    const isKey = names === null || [...names].some((name) => name.startsWith(nameOf.kid(OWN_SOURCE, '')))
    if (isKey) tokenKeys.refresh(nowMs()).catch(log)
  })
  const stop = repeat(RELOAD_MS, async () => {
    const results = await Promise.allSettled([
      tokenKeys.refresh(nowMs()),
      signingKeys.refresh(nowMs()),
      removeExpired(writes, nowMs()),
      entries.prune(nowMs()),
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
        isReady: () => database.isReady(),
        maxStalenessMs: options.maxStalenessMs,
        nowMs,
        log,
      }),
      publicKeys,
      isReady: () => database.isReady(),
    },
    sessions,
    tokens: createTokens({ origin, keys: tokenKeys, sessions, credentials, primitives }),
    assertions: createAssertions(signingKeys, origin, revocations, log),
    sealer: createSealer(primitives, keys.seal),
    users,
    testPeople: createTestPeople(auth, context, cookies, users, nowMs),
    directory,
    keys:
      keySettings === null
        ? null
        : createKeyVerifier({ ...keyDeps, origin, settings: keySettings, credentials, primitives }),
    apiKeys: createApiKeys({ ...keyDeps, prefix: keySettings?.prefix ?? null, auth, revoker, nowMs }),
    credentials,
    revocations,
    revoker,
    close() {
      stop()
      unsubscribe()
      revocations.close()
    },
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
