/**
 * Whether a principal meets what a route asks. Only ALLOW lets a request in; every other way out of this file is a Refusal,
 * and a fact that is missing never satisfies anything.
 */

import {
  type Access,
  ALLOW,
  type Decision,
  type PolicyFacts,
  type Principal,
  Refusal,
  type Requirement,
} from '../model.ts'

const DENIED = Object.freeze(new Refusal('route.denied'))
const NO_CREDENTIAL = Object.freeze(new Refusal('credential.missing'))
const WRONG_CREDENTIAL = Object.freeze(new Refusal('credential.kind'))
const NO_ROLE = Object.freeze(new Refusal('role.missing'))
const NO_SCOPE = Object.freeze(new Refusal('scope.missing'))
const NO_EMAIL = Object.freeze(new Refusal('email.missing'))
const CONDITION_FALSE = Object.freeze(new Refusal('condition.false'))

export function authorize(
  access: Access,
  principal: Principal | null,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): Decision {
  switch (access.kind) {
    case 'deny':
      return DENIED
    case 'public':
      return ALLOW
    case 'optional':
      return principal === null || isInteractive(principal) ? ALLOW : WRONG_CREDENTIAL
    case 'login':
      if (principal === null) return NO_CREDENTIAL
      return isInteractive(principal) ? ALLOW : WRONG_CREDENTIAL
    case 'require':
      if (principal === null) return NO_CREDENTIAL
      return meets(access, principal, facts, allowUnverifiedEmail)
  }
}

/** Keys are ANDed, the values of a list ORed. The condition comes last: it costs most and may read everything else. */
function meets(access: Requirement, principal: Principal, facts: PolicyFacts, allowUnverifiedEmail: boolean): Decision {
  const { roles, scopes, emails, when } = access
  const isAccepted = access.with.length === 0 ? isInteractive(principal) : access.with.includes(principal.credential)
  if (!isAccepted) return WRONG_CREDENTIAL
  if (roles.length > 0 && !roles.some((role) => principal.roles.includes(role))) return NO_ROLE
  if (scopes.length > 0 && !scopes.some((scope) => principal.scopes.includes(scope))) return NO_SCOPE
  if (emails.length > 0 && !ownsEmail(emails, principal, allowUnverifiedEmail)) return NO_EMAIL
  if (when !== null && when(facts, principal) !== true) return CONDITION_FALSE
  return ALLOW
}

/** Without `with`, a session or a token will do; keys only where a route names them. */
function isInteractive(principal: Principal): boolean {
  return principal.credential === 'session' || principal.credential === 'token'
}

/** An address nobody has proved to own matches nothing (SECURITY rule 11). */
function ownsEmail(emails: readonly string[], principal: Principal, allowUnverifiedEmail: boolean): boolean {
  const { email } = principal
  if (email === null || !(principal.emailVerified || allowUnverifiedEmail)) return false
  const folded = foldAscii(email)
  return emails.some((wanted) => foldAscii(wanted) === folded)
}

/** Case is folded in ASCII only: Unicode folding turns a foreign letter (U+212A) into an ordinary one. */
function foldAscii(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}
