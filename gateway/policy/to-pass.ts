/** What would let a refused caller in, as sentences in the order they would be done. Advice: `authorize` alone decides. */

import { ask } from '../authorize/authorize.ts'
import type { Principal } from '../model.ts'
import type { Access, Check, PolicyFacts, Requirement } from '../rules.ts'
import { claimWords, credentialWords, describeRequirement, durationWords, either } from './describe.ts'

/** Empty when nothing is missing. */
export function stepsToPass(
  access: Access,
  principal: Principal | null,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): readonly string[] {
  switch (access.kind) {
    case 'deny':
    case 'public':
      return []
    case 'optional':
    case 'login':
      if (principal === null) return access.kind === 'login' ? ['sign in'] : []
      return principal.credential === 'key' ? ['come with a session or a token'] : []
    case 'require': {
      const isMissing = (check: Check) => ask(check, principal, facts, allowUnverifiedEmail) !== true
      if (principal !== null) return access.checks.filter(isMissing).map((check) => step(check, principal))
      const place = access.checks.filter((check) => check.kind === 'ip' && isMissing(check))
      const steps = place.map((check) => step(check, null))
      return access.needsPrincipal ? [...steps, signIn(access)] : steps
    }
  }
}

function signIn({ checks, ...rest }: Requirement): string {
  const others = checks.filter((check) => check.kind !== 'ip')
  const words = describeRequirement({ ...rest, checks: others })
  // Where no session is taken, the sign-in page leads nowhere.
  const isSessionTaken = others.every((check) => check.kind !== 'with' || check.anyOf.includes('session'))
  if (!isSessionTaken) return `come ${words}`
  return words === 'signed in' ? 'sign in' : `sign in: ${words}`
}

function step(check: Check, principal: Principal | null): string {
  switch (check.kind) {
    case 'ip':
      return `send it from ${either(check.networks)}`
    case 'with':
      return `come with ${either(check.anyOf.map(credentialWords))}`
    case 'role':
      return `give role ${either(check.anyOf)}`
    case 'scope':
      return `come with a credential of scope ${either(check.anyOf)}`
    case 'group':
      return `add to group ${either(check.anyOf)}`
    case 'email':
      return principal?.email !== null && principal?.emailVerified === false
        ? `prove to own ${principal.email}, and be ${either(check.anyOf)}`
        : `be ${either(check.anyOf)}`
    case 'claim':
      return `have the issuer say that ${check.name} is ${either(check.anyOf.map(claimWords))}`
    case 'not':
      return `be known not to meet (${describeRequirement(check.of)})`
    case 'when':
      return `make \`${check.source}\` true`
    case 'any':
      return `meet ${either(check.of.map((one) => `(${describeRequirement(one)})`))}`
    case 'mfa':
      return secondFactor(principal)
    case 'fresh':
      return `sign in again: a sign-in counts for ${durationWords(check.maxAgeMs)} here`
  }
}

function secondFactor(principal: Principal | null): string {
  if (principal?.credential === 'key') return 'come as a person: an API key never shows a second factor'
  if (principal !== null && principal.source !== null) {
    return `come with a token whose \`amr\` or \`acr\` is one that \`tokens.${principal.source}.mfa\` names`
  }
  return 'step up with a second factor'
}
