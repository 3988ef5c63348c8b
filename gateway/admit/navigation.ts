/** Is this a browser moving to a page? Then a refusal for want of a sign-in becomes the way to the sign-in page. */

import { prefersHtml } from '../http/accept.ts'

export function isNavigation(method: string, fetchMode: string | null, accept: string | null): boolean {
  if (fetchMode !== null) return fetchMode === 'navigate'
  return accept !== null && (method === 'GET' || method === 'HEAD') && prefersHtml(accept)
}
