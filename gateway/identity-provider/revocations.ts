/**
 * What has ended, in order. An entry in a cache carries the sequence seen before its verification began and is dead if a
 * matching revocation has a higher one (SECURITY rule 21): no clocks are compared, and no verification can outrun a write.
 */

export type Revocation =
  | { readonly kind: 'session'; readonly id: string }
  | { readonly kind: 'session-token'; readonly token: string }
  | { readonly kind: 'subject'; readonly id: string }
  | { readonly kind: 'everything' }

/** What a cached entry must remember of itself. */
export interface Revocable {
  readonly sequence: number
  readonly subject: string | null
  readonly sessionId: string | null
  readonly sessionToken: string | null
}

export interface Revocations {
  /** Rises by one with every revocation. */
  readonly sequence: number
  revoke(revocations: readonly Revocation[]): void
  isDead(entry: Revocable): boolean
}

/** At the cap everything before it is dead: nobody is ever forgotten, only asked about again. */
export function createRevocations(namesMax = 10_000): Revocations {
  const sequenceOf = new Map<string, number>()
  let sequence = 0
  let everythingAt = 0
  const isAfter = (name: string, seen: number): boolean => (sequenceOf.get(name) ?? 0) > seen

  return {
    get sequence() {
      return sequence
    },
    revoke(revocations) {
      for (const revocation of revocations) {
        sequence += 1
        const name = nameOf(revocation)
        if (name === null || sequenceOf.size >= namesMax) {
          everythingAt = sequence
          sequenceOf.clear()
        } else sequenceOf.set(name, sequence)
      }
    },
    isDead(entry) {
      if (entry.sequence === sequence) return false
      if (everythingAt > entry.sequence) return true
      return (
        (entry.subject !== null && isAfter(`subject:${entry.subject}`, entry.sequence)) ||
        (entry.sessionId !== null && isAfter(`session:${entry.sessionId}`, entry.sequence)) ||
        (entry.sessionToken !== null && isAfter(`token:${entry.sessionToken}`, entry.sequence))
      )
    },
  }
}

function nameOf(revocation: Revocation): string | null {
  switch (revocation.kind) {
    case 'session':
      return `session:${revocation.id}`
    case 'session-token':
      return `token:${revocation.token}`
    case 'subject':
      return `subject:${revocation.id}`
    case 'everything':
      return null
  }
}
