/** One entry of the revocation log: what is revoked, how, from when and until when, in one canonical text that is sealed. */

/**
 * `end`: dead, however well it verifies. `refresh`: what is remembered of it is dead, and the truth must be read again, which
 * is how a changed role takes effect without a sign-out and a deleted session ends (SECURITY rule 21).
 */
export type RevocationEffect = 'end' | 'refresh'

export interface Revocation {
  readonly effect: RevocationEffect
  /** A name of `names.ts`, or `EVERYTHING`. */
  readonly name: string
  /** For an `end` by time: credentials issued up to here are dead. By the clock of the node that wrote it. */
  readonly notBeforeMs: number
  /** From here on nothing that the entry concerns can be alive, so it may be forgotten. */
  readonly expiresAtMs: number
  /** For a token: whose it is, so that at the cap the subject can be cut off in its place. */
  readonly subject: string | null
}

/** A revocation as the log holds it. */
export interface LogEntry extends Revocation {
  /** Gapless, in the order of commits. */
  readonly sequence: number
  /** Random, so that two logs with equal numbers can be told apart. */
  readonly id: string
}

/**
 * What is remembered of a credential, here or in Redis, is never older than this, so an entry that only makes it be read
 * again need not live longer.
 */
export const REMEMBERED_MS_MAX = 600_000

/** Life of an entry that only concerns what is remembered: with an hour to spare for clocks that differ. */
export const REFRESH_LIFE_MS = REMEMBERED_MS_MAX + 3_600_000

/**
 * Life of an entry that refuses credentials of which nobody else keeps count. No token is accepted that lives longer
 * (`token.lifetime`), so none outlives the entry that revoked it.
 */
export const TOKEN_LIFE_MS_MAX = 366 * 86_400_000
export const END_LIFE_MS = TOKEN_LIFE_MS_MAX + 86_400_000

/** Text of an entry; fields in a fixed order, so that one entry has one text. */
export function encodeEntry({ sequence, id, effect, name, notBeforeMs, expiresAtMs, subject }: LogEntry): string {
  return JSON.stringify([sequence, id, effect, name, notBeforeMs, expiresAtMs, subject])
}

/** Null for a text that `encodeEntry` did not write. */
export function decodeEntry(text: string): LogEntry | null {
  let parts: unknown
  try {
    parts = JSON.parse(text)
  } catch {
    return null
  }
  if (!Array.isArray(parts) || parts.length !== 7) return null
  const [sequence, id, effect, name, notBeforeMs, expiresAtMs, subject] = parts as unknown[]
  if (!Number.isSafeInteger(sequence) || typeof id !== 'string' || typeof name !== 'string' || name === '') return null
  if (effect !== 'end' && effect !== 'refresh') return null
  if (!Number.isFinite(notBeforeMs) || !Number.isFinite(expiresAtMs)) return null
  if (subject !== null && typeof subject !== 'string') return null
  return {
    sequence: sequence as number,
    id,
    effect,
    name,
    notBeforeMs: notBeforeMs as number,
    expiresAtMs: expiresAtMs as number,
    subject,
  }
}
