/**
 * What can be revoked, by name. A proof carries the names it rests on, an entry of the log names one of them, and the two
 * meet as texts: a name holds its kind, and where it can come from several issuers, the issuer's name too.
 */

/** Stands for this gateway where the name of an issuer is asked. No entry under `tokens` can have this name. */
export const OWN_SOURCE = 'postern'

export type NameKind = 'session' | 'session-token' | 'subject' | 'token' | 'key' | 'kid' | 'issuer'

export const nameOf = {
  session: (id: string): string => `session:${id}`,
  /** By the SHA-256 of the session's token, for a write that names no id: the token itself would be a credential. */
  sessionToken: (sha256: string): string => `session-token:${sha256}`,
  /** A principal's subject as it stands everywhere: `ci:job-7` for another issuer's. */
  subject: (subject: string): string => `subject:${subject}`,
  /** By `jti`; a token without one is named `#` and the SHA-256 of its text. */
  token: (source: string, tokenId: string): string => `token:${source}:${tokenId}`,
  key: (id: string): string => `key:${id}`,
  kid: (source: string, kid: string): string => `kid:${source}:${kid}`,
  issuer: (source: string): string => `issuer:${source}`,
} as const

/** The one name that concerns everybody. */
export const EVERYTHING = 'everything'

/**
 * Entries under these names refuse what was issued up to a time, and later credentials are welcome; under any other they
 * refuse for good.
 */
export function isByTime(name: string): boolean {
  return name === EVERYTHING || name.startsWith('subject:') || name.startsWith('issuer:')
}
