/** Rewrites Cache-Control so that no shared cache keeps the answer (RFC 9111 §5.2; SECURITY rule 9). */

import { listMembers } from '../http/header-list.ts'
import { remembered } from '../http/remembered.ts'

const UNSAID = 'private, no-cache'

/** The one value for all Cache-Control lines of an answer that identity let through. */
export function privateCacheControl(values: readonly string[]): string {
  return values.length === 0 ? UNSAID : privately(values.length === 1 ? values[0]! : values.join(','))
}

const privately = remembered((text) => {
  const members = listMembers(text)
  if (members === null || members.length === 0) return UNSAID
  return ['private', ...members.filter((member) => !isForSharedCaches(member))].join(', ')
})

/** `private="field"` too: it keeps only that field out of shared caches, and lets them have the rest (§5.2.2.7). */
function isForSharedCaches(member: string): boolean {
  const equals = member.indexOf('=')
  const directive = (equals < 0 ? member : member.slice(0, equals)).trim().toLowerCase()
  return directive === 'public' || directive === 's-maxage' || directive === 'private'
}
