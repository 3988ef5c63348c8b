/**
 * Signed proof of identity for upstreams, remembered so that it costs a request nothing (SECURITY rule 27). Issuer and `typ`
 * differ from those of our tokens, so an assertion that leaks from an upstream opens nothing here.
 */

import { type Bounded, boundedCache } from '../credentials/bounded-cache.ts'
import { signClaims } from '../jwt/sign.ts'
import type { Principal, Proof } from '../model.ts'
import type { AssertionSource, Revocations } from '../ports.ts'
import { nameOf, OWN_SOURCE } from '../revocation/names.ts'
import { ASSERTION_LIFE_MS, type SigningKeys } from './signing-keys.ts'

export const ASSERTION_TYPE = 'postern-assertion+jwt'

/** An upstream always has at least this long to read what it is sent. */
const LIFE_LEFT_MS_MIN = 20_000
/** From here on the next one is signed while this one still serves. */
const RENEW_LEFT_MS = 30_000
const ASSERTIONS_MAX = 50_000
/** Of one, beside its texts. */
const ASSERTION_BYTES = 600
/** What an issuer says of its people, such as how they signed in, may be long. */
const ASSERTION_BYTES_MAX = 67_108_864

interface Assertion extends Bounded {
  readonly jws: string
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  readonly proof: Proof
}

/**
 * Remembered twice: by principal, the same object for as long as what is remembered of its credential lives, and by every
 * fact that is signed. What was revoked has no principal any more, or a new one of new facts; a revocation that concerns the
 * facts ends what was signed of them, even where they stayed the same.
 */
export function createAssertions(
  keys: SigningKeys,
  origin: string,
  revocations: Pick<Revocations, 'sequence' | 'isDead'>,
  log: (error: unknown) => void,
): AssertionSource {
  const byPrincipal = new WeakMap<Principal, Map<string, Assertion>>()
  const byFacts = boundedCache<Assertion>(ASSERTIONS_MAX, ASSERTION_BYTES_MAX)
  const signing = new Map<string, Promise<Assertion>>()

  return {
    assertionFor(principal, upstreamId, nowMs) {
      const known = byPrincipal.get(principal)?.get(upstreamId)
      if (known !== undefined && lifeLeft(known, nowMs) > RENEW_LEFT_MS) return known.jws
      return renew(principal, upstreamId, nowMs)
    },
  }

  function renew(principal: Principal, upstreamId: string, nowMs: number): string | Promise<string> {
    const facts = factsOf(principal, upstreamId)
    const signed = byFacts.get(facts)
    const known = signed === undefined || revocations.isDead(signed.proof) ? undefined : signed
    const left = known === undefined ? 0 : lifeLeft(known, nowMs)
    if (known !== undefined && left > RENEW_LEFT_MS) {
      remember(principal, upstreamId, known)
      return known.jws
    }
    const next = sign(facts, principal, upstreamId, nowMs)
    if (known === undefined || left < LIFE_LEFT_MS_MIN) return next.then((assertion) => assertion.jws)
    next.catch(log)
    return known.jws
  }

  function sign(facts: string, principal: Principal, upstreamId: string, nowMs: number): Promise<Assertion> {
    const running = signing.get(facts)
    if (running !== undefined) return running
    const next = signNow(facts, principal, upstreamId, nowMs).then((assertion) => {
      byFacts.set(facts, assertion)
      remember(principal, upstreamId, assertion)
      return assertion
    })
    signing.set(facts, next)
    const done = (): void => {
      signing.delete(facts)
    }
    next.then(done, done)
    return next
  }

  async function signNow(facts: string, principal: Principal, upstreamId: string, nowMs: number): Promise<Assertion> {
    const proof: Proof = { sequence: revocations.sequence, names: namesOf(principal), issuedAtMs: null }
    const iat = Math.floor(nowMs / 1000)
    const exp = iat + ASSERTION_LIFE_MS / 1000
    const jws = await signClaims(keys.signerAt(nowMs), ASSERTION_TYPE, {
      iss: `${origin}/assertion`,
      aud: upstreamId,
      sub: principal.subject,
      iat,
      exp,
      ...(principal.email !== null && principal.emailVerified ? { email: principal.email, email_verified: true } : {}),
      roles: principal.roles,
      ...(principal.sessionId === null ? {} : { sid: principal.sessionId }),
      ...(principal.methods.length === 0 ? {} : { amr: principal.methods }),
      ...(principal.authenticatedAtMs === null ? {} : { auth_time: Math.floor(principal.authenticatedAtMs / 1000) }),
    })
    const bytes = ASSERTION_BYTES + 2 * (facts.length + jws.length)
    return { jws, issuedAtMs: nowMs, expiresAtMs: exp * 1000, proof, bytes, isUsed: false }
  }

  function remember(principal: Principal, upstreamId: string, assertion: Assertion): void {
    const known = byPrincipal.get(principal)
    if (known === undefined) byPrincipal.set(principal, new Map([[upstreamId, assertion]]))
    else known.set(upstreamId, assertion)
  }
}

/** Nothing is left of an assertion from the future: a clock that was set back must not stretch its life. */
function lifeLeft(assertion: Assertion, nowMs: number): number {
  return nowMs < assertion.issuedAtMs - 1000 ? 0 : assertion.expiresAtMs - nowMs
}

function namesOf({ subject, sessionId, keyId, source }: Principal): readonly string[] {
  const names = [nameOf.subject(subject), nameOf.issuer(source ?? OWN_SOURCE)]
  if (sessionId !== null) names.push(nameOf.session(sessionId))
  if (keyId !== null) names.push(nameOf.key(keyId))
  return names
}

/** Every fact that `signNow` signs, and who vouches for them, unambiguously. */
function factsOf(principal: Principal, upstreamId: string): string {
  const { subject, issuer, source, keyId, email, emailVerified, roles, sessionId, methods, authenticatedAtMs } =
    principal
  return JSON.stringify([
    upstreamId,
    issuer,
    source,
    keyId,
    subject,
    email,
    emailVerified,
    roles,
    sessionId,
    methods,
    authenticatedAtMs,
  ])
}
