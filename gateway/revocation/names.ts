/**
 * What can be revoked, by name. A proof carries the names it rests on, an entry of the log names one of them, and the two
 * meet as texts: a name holds its kind, and where it can come from several issuers, the issuer's name too.
 */

import type { RevocationRequest } from '../ports.ts'

/** Stands for this gateway where the name of an issuer is asked. No entry under `tokens` can have this name. */
export const OWN_SOURCE = 'postern'

const SUBJECT = 'subject:'

export const nameOf = {
  session: (id: string): string => `session:${id}`,
  /** By the SHA-256 of the session's token, for a write that names no id: the token itself would be a credential. */
  sessionToken: (sha256: string): string => `session-token:${sha256}`,
  /** A principal's subject as it stands everywhere: `ci:job-7` for another issuer's. */
  subject: (subject: string): string => SUBJECT + subject,
  /** By `jti`; a token without one is named `#` and the SHA-256 of its text. */
  token: (source: string, tokenId: string): string => `token:${source}:${tokenId}`,
  key: (id: string): string => `key:${id}`,
  kid: (source: string, kid: string): string => `kid:${source}:${kid}`,
  issuer: (source: string): string => `issuer:${source}`,
} as const

/** The one name that concerns everybody. */
export const EVERYTHING = 'everything'

/** The name that a request to revoke is about. */
export function nameOfRequest(request: RevocationRequest): string {
  switch (request.kind) {
    case 'session':
      return nameOf.session(request.id)
    case 'subject':
      return nameOf.subject(request.subject)
    case 'token':
      return nameOf.token(request.source, request.tokenId)
    case 'key':
      return nameOf.key(request.id)
    case 'kid':
      return nameOf.kid(request.source, request.kid)
    case 'issuer':
      return nameOf.issuer(request.source)
    case 'everything':
      return EVERYTHING
  }
}

/** The subject that a name names; null for a name of anything else. */
export function subjectIn(name: string): string | null {
  return name.startsWith(SUBJECT) ? name.slice(SUBJECT.length) : null
}

/**
 * Entries under these names refuse what was issued up to a time, and later credentials are welcome; under any other they
 * refuse for good.
 */
export function isByTime(name: string): boolean {
  return name === EVERYTHING || name.startsWith(SUBJECT) || name.startsWith('issuer:')
}
