/** Reads Accept (RFC 9110 §12.5.1) for the one thing the gateway asks of it: is this a person who wants a page? */

import { listMembers } from './header-list.ts'

/** True when text/html is named and no other named type is wanted more. A `*` names nothing. */
export function prefersHtml(accept: string): boolean {
  if (!/text\/html/i.test(accept)) return false
  let html = 0
  let other = 0
  for (const member of listMembers(accept) ?? []) {
    const [type = '', ...parameters] = member.split(';').map((part) => part.trim().toLowerCase())
    const weight = weightOf(parameters)
    if (type === 'text/html') html = Math.max(html, weight)
    else if (!type.includes('*')) other = Math.max(other, weight)
  }
  return html > 0 && html >= other
}

/** RFC 9110 §12.4.2; what is not a weight is none. */
function weightOf(parameters: readonly string[]): number {
  const q = parameters.find((parameter) => parameter.startsWith('q='))
  if (q === undefined) return 1
  return /^q=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/.test(q) ? Number(q.slice(2)) : 0
}
