/**
 * What a browser may be made to do on somebody's behalf. Cookies travel by themselves, so a request that carries ours
 * and can change something must show that our own pages sent it (CWE-352; SECURITY rules 8 and 14).
 */

import { siteOf } from '../http/site.ts'
import { Refusal, type RequestHead } from '../model.ts'
import type { Route } from '../rules.ts'

const CROSS_SITE = Object.freeze(new Refusal('csrf.cross-site'))
const NO_EVIDENCE = Object.freeze(
  new Refusal('csrf.no-evidence', {
    detail: 'A request with a session cookie needs Sec-Fetch-Site: same-origin or an Origin header of this gateway.',
  }),
)
const SERVICE_WORKER = Object.freeze(new Refusal('service-worker.refused'))

/** Null when the request carries no cookie of ours, cannot change anything, or provably comes from our own origin. */
export function refuseCrossSite(ownOrigin: string, head: RequestHead): Refusal | null {
  if (head.sessionCookie === null) return null
  if (isSafe(head.method) && !head.isUpgrade) return null
  const site = siteOf(ownOrigin, head.fetchSite, head.origin)
  if (site === 'ours') return null
  return site === 'foreign' ? CROSS_SITE : NO_EVIDENCE
}

/** A service worker outlives the page and the session, so an upstream may install one only where its route says so. */
export function refuseServiceWorker(route: Route, head: RequestHead): Refusal | null {
  if (route.isServiceWorkerAllowed) return null
  const at = head.names.indexOf('service-worker')
  return at < 0 || head.headers[2 * at + 1]!.trim().toLowerCase() !== 'script' ? null : SERVICE_WORKER
}

/** RFC 9110 §9.2.1. */
function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}
