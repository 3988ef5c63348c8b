/** Small questions to a flat list of field lines. Order and duplicates are kept: they are the evidence of an attack. */

import type { HeaderList } from '../model.ts'

/** All values of a field in wire order. `lower` is the name in lower case. */
export function valuesOf(headers: HeaderList, lower: string): readonly string[] {
  const values: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    if (isNamed(headers[at]!, lower)) values.push(headers[at + 1]!)
  }
  return values
}

/** The first value of a field, or null. */
export function firstValue(headers: HeaderList, lower: string): string | null {
  for (let at = 0; at < headers.length; at += 2) {
    if (isNamed(headers[at]!, lower)) return headers[at + 1]!
  }
  return null
}

/** Is this the field of that name? Nearly all are not, and most of those by their length. */
export function isNamed(name: string, lower: string): boolean {
  return name.length === lower.length && (name === lower || name.toLowerCase() === lower)
}

/** Field lines by their lower-case names, as node:http2 takes them; without a prototype, so that no name means anything but itself. */
export function fieldsByName(headers: HeaderList): Record<string, string[]> {
  const fields: Record<string, string[]> = Object.create(null)
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!.toLowerCase()
    fields[name] = [...(fields[name] ?? []), headers[at + 1]!]
  }
  return fields
}

/** Fields that Connection nominates are for this hop alone (RFC 9110 §7.6.1); null when it nominates none. */
export function nominatedNames(headers: HeaderList): Set<string> | null {
  let nominated: Set<string> | null = null
  for (let at = 0; at < headers.length; at += 2) {
    if (!isNamed(headers[at]!, 'connection')) continue
    const value = headers[at + 1]!
    if (value === 'keep-alive' || value === 'close' || value === 'Upgrade') continue
    nominated ??= new Set()
    for (const name of value.split(',')) nominated.add(name.trim().toLowerCase())
  }
  return nominated
}

/**
 * The members of a comma-separated value (RFC 9110 §5.6.1), trimmed, without empty ones. A comma inside a quoted string
 * does not part. Null when a quote is never closed: then nobody can say where a member ends.
 */
export function listMembers(value: string): readonly string[] | null {
  if (!value.includes('"')) return value.split(',').map(trimmed).filter(Boolean)
  const members: string[] = []
  let start = 0
  let isQuoted = false
  for (let at = 0; at <= value.length; at += 1) {
    const char = value[at]
    if (isQuoted) {
      if (char === undefined) return null
      if (char === '\\') at += 1
      else if (char === '"') isQuoted = false
    } else if (char === '"') isQuoted = true
    else if (char === ',' || char === undefined) {
      const member = value.slice(start, at).trim()
      if (member !== '') members.push(member)
      start = at + 1
    }
  }
  return isQuoted ? null : members
}

function trimmed(member: string): string {
  return member.trim()
}
