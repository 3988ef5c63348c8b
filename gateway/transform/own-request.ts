/**
 * The request the gateway's own endpoints get: rebuilt from the admitted head, so that they see the same path, the client
 * address we computed, and no field that only an upstream or a proxy may set (SECURITY rule 1).
 */

import { isHopByHop, isReserved } from '../http/field-names.ts'
import type { RequestHead } from '../model.ts'
import type { Snapshot } from '../snapshot.ts'

/** `body` is null where there is none; GET and HEAD cannot carry one in fetch's model. */
export function ownRequest(snapshot: Snapshot, head: RequestHead, body: BodyInit | null): Request {
  const headers = new Headers()
  for (let at = 0; at < head.names.length; at += 1) {
    const name = head.names[at]!
    if (name === 'host' || name === 'content-length' || name === 'expect') continue
    if (isHopByHop(name) || isReserved(name, snapshot.reservedNames)) continue
    headers.append(name, head.headers[2 * at + 1]!)
  }
  headers.set('x-postern-client-ip', head.clientAddress)
  headers.set('x-request-id', head.requestId)
  const { method, target } = head
  return new Request(snapshot.origin + target.path + target.query, { method, headers, body })
}
