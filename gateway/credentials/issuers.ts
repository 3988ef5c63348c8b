/**
 * The issuers whose word the policy takes, each with its own rules and keys: what one vouches for is never judged by what
 * another said.
 */

import { parseClaimPath } from '../jwt/claim-path.ts'
import { createDiscovery } from '../jwt/discovery.ts'
import { type ForeignClaims, type ForeignRules, verifyForeign } from '../jwt/foreign.ts'
import { createRemoteKeys, type KeyStatus, type Keys, readInlineKeys } from '../jwt/remote-keys.ts'
import { Refusal } from '../model.ts'
import type { LocalUser, Outbound, Primitives, UserDirectory } from '../ports.ts'
import type { CacheScope, CredentialCache, Verified } from './cache.ts'
import { type ClaimSettings, claimReader, namesOf } from './claims.ts'
import { createIntrospector, type IntrospectionSettings } from './introspection.ts'

/** One entry under `tokens`. */
export interface IssuerSettings extends ClaimSettings {
  readonly audiences: readonly string[]
  readonly algorithms: readonly string[]
  /** Null: found by discovery, unless the keys stand here. */
  readonly jwksUrl: string | null
  readonly keys: readonly object[] | null
  readonly allowOrigins: readonly string[]
  readonly introspection: IntrospectionSettings | null
  /** Values by path; any one of them. */
  readonly require: Readonly<Record<string, readonly (string | number | boolean)[]>>
  /** Its `sub` is the id of one of our users. */
  readonly isLocal: boolean
  readonly leewayMs: number
  readonly keyCache: {
    readonly maxAgeMs: number
    readonly keepMs: number
    readonly cooldownMs: number
    readonly timeoutMs: number
    readonly bytesMax: number
  }
}

/** One way to find out about a token, and what its findings are remembered under. */
export interface Verification {
  readonly scope: CacheScope
  verify(token: string, nowMs: number): Promise<Verified | Refusal>
}

export interface TokenIssuer {
  readonly name: string
  readonly issuer: string
  readonly forJwts: Verification
  /** Null where the issuer is not asked about opaque tokens. */
  readonly forOpaque: (Verification & { readonly prefix: string }) | null
}

export interface TokenIssuers {
  readonly all: readonly TokenIssuer[]
  /** By all that its entry says. */
  readonly opened: ReadonlyMap<string, OpenIssuer>
  /** Reads what must be fetched. Resolves when each has answered or used up its time. */
  start(): Promise<void>
  status(): readonly (KeyStatus & { readonly name: string })[]
  /** Nothing is read in the background any more, but for what the others took over. */
  close(next?: TokenIssuers): void
}

export interface OpenIssuer {
  readonly issuer: TokenIssuer
  /** Null where none are needed. */
  readonly keys: Keys | null
}

export interface IssuerDeps {
  readonly credentials: Pick<CredentialCache, 'dropVerifier'>
  readonly directory: UserDirectory
  readonly outbound: Outbound
  readonly primitives: Pick<Primitives, 'sha256'>
  readonly monotonicMs: () => number
  readonly log: (error: unknown) => void
}

const REVOKED = Object.freeze(new Refusal('token.revoked'))
const SUBJECT = Object.freeze(new Refusal('token.subject'))
const UNAVAILABLE = Object.freeze(new Refusal('credential.unavailable'))

/**
 * Those of `before` whose entry is the same are taken over with all they know: one that is down now keeps its keys, and a key
 * that it loses is missed. Rejects when keys that stand in the policy cannot verify anything.
 */
export async function openTokenIssuers(
  entries: readonly IssuerSettings[],
  deps: IssuerDeps,
  before: TokenIssuers | null = null,
): Promise<TokenIssuers> {
  const opened = new Map<string, OpenIssuer>()
  const strange: OpenIssuer[] = []
  for (const settings of entries) {
    const text = JSON.stringify(settings)
    const known = before?.opened.get(text)
    const one = known ?? (await openIssuer(settings, deps))
    opened.set(text, one)
    if (known !== undefined) continue
    strange.push(one)
    // Nobody watched over its keys until now, so what they vouched for in an earlier life of this entry may be lost.
    if (before !== null) deps.credentials.dropVerifier(one.issuer.forJwts.scope.verifier)
  }
  const all = [...opened.values()]
  return {
    all: all.map(({ issuer }) => issuer),
    opened,
    async start() {
      await Promise.all(strange.map(({ keys }) => keys?.start()))
    },
    status: () => all.flatMap(({ issuer: { name }, keys }) => (keys === null ? [] : [{ name, ...keys.status() }])),
    close(next) {
      for (const [text, { keys }] of opened) if (next?.opened.has(text) !== true) keys?.close()
    },
  }
}

async function openIssuer(settings: IssuerSettings, deps: IssuerDeps): Promise<OpenIssuer> {
  const { name, issuer, introspection } = settings
  const rules: ForeignRules = {
    issuer,
    audiences: settings.audiences,
    algorithms: settings.algorithms,
    leewayMs: settings.leewayMs,
    require: Object.entries(settings.require).map(([path, values]) => ({ path: parseClaimPath(path), values })),
  }
  const verifierFor = (kind: string, more: unknown): string =>
    deps.primitives.sha256(JSON.stringify([kind, configurationOf(settings), more]))
  const scopeFor = (kind: string, verifier: string): CacheScope => ({
    kind: `${kind}:${name}`,
    verifier,
    ended: REVOKED,
  })
  const concluded = conclude(settings, deps)

  const opaque = introspection === null ? null : introspectionOf(settings, introspection, rules, deps)
  const opaqueVerifier = verifierFor('opaque', [introspection?.url, introspection?.clientId, introspection?.cacheMs])
  const forOpaque =
    opaque === null
      ? null
      : {
          prefix: introspection!.prefix ?? '',
          scope: scopeFor('opaque', opaqueVerifier),
          verify: async (token: string, nowMs: number) =>
            concluded(await opaque.introspect(token, nowMs), token, nowMs, introspection!.cacheMs),
        }
  // An endpoint and no way to keys was written: then its JWTs are asked about too, and no key set is looked for.
  const isAsked =
    forOpaque !== null && introspection!.url !== null && settings.jwksUrl === null && settings.keys === null
  if (isAsked) return { issuer: { name, issuer, forJwts: forOpaque, forOpaque }, keys: null }

  const verifier = verifierFor('jwt', [settings.jwksUrl, settings.keys])
  const keys = await openKeys(settings, deps, () => deps.credentials.dropVerifier(verifier))
  const forJwts: Verification = {
    scope: scopeFor('jwt', verifier),
    verify: async (token, nowMs) =>
      concluded(await verifyForeign(rules, keys, token, nowMs), token, nowMs, Number.POSITIVE_INFINITY),
  }
  return { issuer: { name, issuer, forJwts, forOpaque }, keys }
}

/** All that decides what a token of this issuer comes to; not its keys, of which each one's loss is announced. */
function configurationOf(settings: IssuerSettings): unknown {
  const { name, issuer, audiences, algorithms, claims, require, roles, mfa, isLocal, leewayMs } = settings
  const paths = [claims.roles, claims.scopes, claims.groups, claims.email, claims.name, Object.entries(claims.more)]
  const second = [mfa.amr, mfa.acr]
  return [name, issuer, audiences, algorithms, paths, Object.entries(require), roles, second, isLocal, leewayMs]
}

function openKeys(settings: IssuerSettings, deps: IssuerDeps, onKeyLost: () => void): Keys | Promise<Keys> {
  const { name, algorithms, keys } = settings
  if (keys !== null) return readInlineKeys(name, keys, algorithms, deps.log)
  return createRemoteKeys({ ...settings, ...settings.keyCache }, { ...deps, onKeyLost })
}

function introspectionOf(
  settings: IssuerSettings,
  introspection: IntrospectionSettings,
  rules: ForeignRules,
  deps: IssuerDeps,
) {
  const { url } = introspection
  const where = { ...settings, ...settings.keyCache }
  const discovery = createDiscovery('introspection_endpoint', where, deps.outbound, deps.monotonicMs)
  return createIntrospector(settings.name, rules, introspection, {
    ...deps,
    endpoint: url === null ? discovery.recent : async () => url,
    timeoutMs: settings.keyCache.timeoutMs,
    sha256: deps.primitives.sha256,
  })
}

/** From verified claims to what is remembered of the token. */
function conclude(settings: IssuerSettings, { directory, primitives }: IssuerDeps) {
  const { name, isLocal, leewayMs } = settings
  const reader = claimReader(settings)

  return async (
    found: ForeignClaims | Refusal,
    token: string,
    nowMs: number,
    rememberMs: number,
  ): Promise<Verified | Refusal> => {
    if (found instanceof Refusal) return found
    const { claims } = found
    const local = isLocal ? await findLocal(claims.sub, nowMs) : null
    if (local instanceof Refusal) return local
    const principal = reader.principalOf(found, local)
    return {
      principal,
      names: namesOf(name, principal, found, primitives.sha256(token)),
      issuedAtMs: typeof claims.iat === 'number' ? claims.iat * 1000 - leewayMs : null,
      rate: null,
      staleAtMs: Math.min(claims.exp * 1000 + leewayMs, nowMs + rememberMs),
    }
  }

  async function findLocal(sub: string, nowMs: number): Promise<LocalUser | Refusal> {
    try {
      const user = await directory.find(sub)
      if (user === null || user.id !== sub) return SUBJECT
      return user.bannedUntilMs !== null && user.bannedUntilMs > nowMs ? SUBJECT : user
    } catch {
      return UNAVAILABLE
    }
  }
}
