/**
 * Writes a principal as field lines of a dialect (SECURITY rules 10 and 11). What cannot be written faithfully is not
 * written nearly: two people never come out as one.
 */

import { type HeaderList, type Principal, Refusal } from '../model.ts'
import type { IdentityClaim, IdentityDialect, IdentityField } from '../rules.ts'

export interface IdentityLines {
  readonly lines: HeaderList
  /** Groups, roles or scopes left out because the upstream would have read one as two. */
  readonly droppedGroups: number
}

/** Backends commonly take 8 KiB of head; what we add must leave room. */
export const IDENTITY_BYTES_MAX = 8192

/** The lines for this principal, or a Refusal when they would be too large or say nothing about who it is. */
export function identityLines(
  dialect: IdentityDialect,
  principal: Principal,
  allowUnverifiedEmail: boolean,
): IdentityLines | Refusal {
  if (principal.subject === '') return new Refusal('identity.unwritable', { log: 'the principal has no subject' })
  const lines: string[] = []
  let droppedGroups = 0
  let bytes = 0
  for (const { name, claim, separator, form } of dialect.fields) {
    const values = claimValues(claim, principal, allowUnverifiedEmail)
    const kept = isList(claim) ? values.filter((value) => value !== '' && !value.includes(separator)) : values
    droppedGroups += values.length - kept.length
    const plain = kept.map(fieldText).join(separator)
    if (plain === '') continue
    const text = formed(plain, form)
    lines.push(name, text)
    bytes += name.length + text.length
  }
  if (bytes > IDENTITY_BYTES_MAX) {
    const log = `identity headers of ${principal.subject} take ${bytes} bytes, more than ${IDENTITY_BYTES_MAX}`
    return new Refusal('identity.unwritable', { log })
  }
  return { lines, droppedGroups }
}

/** Another issuer may give a claim as a text or as a list, so every claim of its own counts as one. */
function isList(claim: IdentityClaim): boolean {
  return claim === 'groups' || claim === 'roles' || claim === 'scopes' || claim.startsWith('claims.')
}

/** A user-id of HTTP Basic ends at the first colon (RFC 7617 §2): unescaped, `ci:job-7` would be the user `ci`. */
function formed(text: string, form: IdentityField['form']): string {
  if (form === 'plain') return text
  if (form === 'google') return `accounts.google.com:${text}`
  return `Basic ${btoa(`${text.replaceAll(':', '%3A')}:`)}`
}

function claimValues(claim: IdentityClaim, principal: Principal, allowUnverifiedEmail: boolean): readonly string[] {
  const email = principal.emailVerified || allowUnverifiedEmail ? principal.email : null
  switch (claim) {
    case 'id':
      return [principal.subject]
    case 'email':
      return email === null ? [] : [email]
    case 'login':
      return [email === null || email === '' || isStranger(principal) ? principal.subject : email]
    case 'name':
      return principal.name === null ? [] : [principal.name]
    case 'roles':
      return principal.roles
    case 'groups':
      return principal.groups.length > 0 ? principal.groups : principal.roles
    case 'scopes':
      return principal.scopes
    case 'session':
      return principal.sessionId === null ? [] : [principal.sessionId]
    default:
      return claimTexts(principal, claim.slice('claims.'.length))
  }
}

function claimTexts({ claims }: Principal, name: string): readonly string[] {
  const value = Object.hasOwn(claims, name) ? claims[name]! : []
  return (Array.isArray(value) ? value : [value]).map(String)
}

/** An address that another issuer vouches for could be one of our users': as a login it would open their account. */
function isStranger({ source, subject }: Principal): boolean {
  return source !== null && subject.startsWith(`${source}:`)
}

/**
 * Text as a field value: printable ASCII as it is, all else percent-encoded as UTF-8 (RFC 3986 §2.1), with `%` itself.
 * So no two texts share a value, decoded or not: `%61dmin` is not `admin`, and ` admin` keeps the blank a parser would trim.
 */
export function fieldText(text: string): string {
  if (PRINTABLE.test(text)) return text
  const encoded = text.toWellFormed().replace(UNPRINTABLE, encodeURIComponent)
  return encoded.replace(OUTER_BLANKS, (blanks) => '%20'.repeat(blanks.length))
}

const PRINTABLE = /^[!-$&-~](?:[ -$&-~]*[!-$&-~])?$/
const UNPRINTABLE = /[^ -$&-~]+/g
const OUTER_BLANKS = /^ +| +$/g
