/**
 * The people of a policy file as the gateway would know them: each with the credential it presents and the principal that
 * credential proves. A person has nothing here that no real credential could give.
 */

import type { TokenIssuerConfig } from '../config/credentials-schema.ts'
import type { PersonConfig } from '../config/people-schema.ts'
import type { GatewayConfig } from '../config/schema.ts'
import type { Claims, HeaderList, Principal } from '../model.ts'
import type { Snapshot } from '../snapshot.ts'

/** Who asks, with nothing to show. */
export const NOBODY_NAME = 'nobody'

export interface Persona {
  readonly name: string
  /** Null for nobody. */
  readonly principal: Principal | null
  /** The credential where a client puts it. */
  readonly lines: HeaderList
  /** Facts the file gives this person that its credential could never prove, in words. */
  readonly notes: readonly string[]
}

type People = GatewayConfig['people']

const NONE: readonly string[] = Object.freeze([])
const NOBODY: Persona = Object.freeze({ name: NOBODY_NAME, principal: null, lines: NONE, notes: NONE })
const LIFE_MS = 3_600_000

/** A person by name, as of `atMs`; or why there is none, in words. */
export function personaOf(
  config: Pick<GatewayConfig, 'people' | 'tokens' | 'keys'>,
  snapshot: Snapshot,
  name: string,
  atMs: number,
): Persona | string {
  if (name === NOBODY_NAME) return NOBODY
  const person = Object.hasOwn(config.people, name) ? config.people[name]! : null
  if (person === null) {
    const known = [...Object.keys(config.people), NOBODY_NAME].join(', ')
    return `there is no \`${name}\` among the people of this policy: ${known}`
  }
  if (person.key !== undefined) return holderOf(name, person, config, snapshot, atMs)
  if (person.token !== undefined) return strangerOf(name, person, config, atMs)
  return userOf(name, person, snapshot, atMs)
}

function userOf(name: string, person: PersonConfig, snapshot: Snapshot, atMs: number): Persona {
  const isSession = person.with === 'session'
  const isHere = !person.impersonated
  const principal: Principal = {
    ...base(person, atMs),
    credential: person.with,
    subject: person.id ?? name,
    issuer: snapshot.origin,
    roles: person.roles,
    sessionId: `session-of-${name}`,
    tokenId: isSession ? null : `token-of-${name}`,
    authenticatedAtMs: isHere ? atMs - (person.signedIn ?? 0) : null,
    methods: isHere ? (person.mfa ? ['pwd', 'otp'] : ['pwd']) : NONE,
    hasSecondFactor: isHere && person.mfa,
  }
  const lines = isSession
    ? ['Cookie', `${snapshot.admission.sessionCookieName}=${name}`]
    : ['Authorization', `Bearer ${name}`]
  const lost = [
    ...(person.scopes.length > 0 ? ['scopes'] : []),
    ...(person.groups.length > 0 ? ['groups'] : []),
    ...(Object.keys(person.claims).length > 0 ? ['claims'] : []),
  ]
  const notes = lost.map((fact) => `users of this gateway have no ${fact}, so those of \`${name}\` count for nothing`)
  return { name, principal, lines, notes }
}

function holderOf(
  name: string,
  person: PersonConfig,
  { people, keys }: Pick<GatewayConfig, 'people' | 'keys'>,
  snapshot: Snapshot,
  atMs: number,
): Persona | string {
  const header = keys?.header
  if (header === undefined) return `\`${name}\` comes with an API key, and this policy takes none: add \`keys: {}\``
  const owner = ownerOf(people, person.owner ?? name)
  const { email, emailVerified, name: displayName, roles } = owner ?? person
  const principal: Principal = {
    ...base(person, atMs),
    kind: 'service',
    credential: 'key',
    subject: owner === null ? (person.owner ?? name) : (owner.id ?? person.owner ?? name),
    issuer: snapshot.origin,
    email: email ?? null,
    emailVerified: email !== undefined && emailVerified,
    name: displayName ?? null,
    roles,
    scopes: person.scopes,
    keyId: person.key ?? name,
  }
  const notes = person.mfa
    ? [`an API key never shows a second factor, so \`mfa\` of \`${name}\` counts for nothing`]
    : []
  return { name, principal, lines: [header, name], notes }
}

/** The user a key acts for, by a name of `people` or by id. */
function ownerOf(people: People, wanted: string): PersonConfig | null {
  const isUser = (person: PersonConfig) => person.key === undefined && person.token === undefined
  if (Object.hasOwn(people, wanted) && isUser(people[wanted]!)) return { id: wanted, ...people[wanted]! }
  return Object.values(people).find((person) => isUser(person) && person.id === wanted) ?? null
}

/** Of another issuer: what its entry does not map is not taken, as `credentials/claims.ts` would not. */
function strangerOf(
  name: string,
  person: PersonConfig,
  { people, tokens }: Pick<GatewayConfig, 'people' | 'tokens'>,
  atMs: number,
): Persona | string {
  const source = person.token!
  const entry = Object.hasOwn(tokens, source) ? tokens[source]! : null
  if (entry === null) return `\`${name}\` comes with a token of \`${source}\`, which \`tokens\` does not name`
  const sub = person.sub ?? name
  const local = entry.subjects === 'local' ? ownerOf(people, sub) : null
  const said = local ?? {
    email: entry.claims.email === undefined ? undefined : person.email,
    emailVerified: person.emailVerified,
    name: entry.claims.name === undefined ? undefined : person.name,
  }
  const maySayMfa = entry.mfa.amr.length + entry.mfa.acr.length > 0
  const principal: Principal = {
    ...base(person, atMs),
    credential: 'token',
    subject: entry.subjects === 'local' ? sub : `${source}:${sub}`,
    issuer: entry.issuer,
    source,
    email: said.email ?? null,
    emailVerified: said.email !== undefined && said.emailVerified,
    name: said.name ?? null,
    roles: person.roles.filter((role) => entry.roles.includes(role)),
    scopes: person.scopes,
    groups: entry.claims.groups === undefined ? NONE : person.groups,
    claims: mappedClaims(entry, person),
    tokenId: `token-of-${name}`,
    authenticatedAtMs: person.signedIn === undefined ? null : atMs - person.signedIn,
    hasSecondFactor: person.mfa && maySayMfa,
  }
  const notes = [
    ...person.roles.filter((role) => !entry.roles.includes(role)).map((role) => [`role ${role}`, 'roles'] as const),
    ...Object.keys(person.claims)
      .filter((claim) => !Object.hasOwn(principal.claims, claim))
      .map((claim) => [`claim ${claim}`, 'claims'] as const),
    ...(person.groups.length > 0 && principal.groups.length === 0 ? [['groups', 'claims'] as const] : []),
    ...(person.mfa && !maySayMfa ? [['second factor', 'mfa'] as const] : []),
  ].map(([fact, key]) => `the ${fact} of \`${name}\` counts for nothing: \`tokens.${source}.${key}\` does not say so`)
  return { name, principal, lines: ['Authorization', `Bearer ${name}`], notes }
}

/** The five names that have a place of their own in a principal. */
const OWN_CLAIMS: ReadonlySet<string> = new Set(['roles', 'scopes', 'groups', 'email', 'name'])

function mappedClaims({ claims }: TokenIssuerConfig, person: PersonConfig): Claims {
  const isMapped = (name: string) => Object.hasOwn(claims, name) && !OWN_CLAIMS.has(name)
  return Object.fromEntries(Object.entries(person.claims).filter(([name]) => isMapped(name)))
}

function base(person: PersonConfig, atMs: number) {
  return {
    kind: 'user',
    source: null,
    email: person.email ?? null,
    emailVerified: person.email !== undefined && person.emailVerified,
    name: person.name ?? null,
    scopes: NONE,
    groups: NONE,
    claims: {},
    sessionId: null,
    tokenId: null,
    keyId: null,
    authenticatedAtMs: null,
    methods: NONE,
    hasSecondFactor: false,
    expiresAtMs: atMs + LIFE_MS,
  } as const
}
