/** Claims by path: `realm_access.roles`, or `[https://example.com/roles]` for a name that holds dots itself. */

import { isObject } from '../http/json.ts'

/** Names from the outside in. */
export type ClaimPath = readonly string[]

export function parseClaimPath(text: string): ClaimPath {
  return [...text.matchAll(/\[([^\]]*)\]|([^.[\]]+)/g)].map((match) => match[1] ?? match[2]!)
}

/** Undefined where there is no such claim; a name that every object inherits is none. */
export function claimAt(claims: object, path: ClaimPath): unknown {
  let value: unknown = claims
  for (const name of path) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}
