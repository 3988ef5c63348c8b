/** Authorities in one spelling each: lower case, and no port where the scheme implies it (RFC 9110 §4.2.3). */

/** For comparing. What is not an authority comes out as something no list of served hosts holds. */
export function normalizeAuthority(text: string, scheme: 'http' | 'https'): string {
  const lower = text.toLowerCase()
  const implied = scheme === 'https' ? ':443' : ':80'
  if (!lower.endsWith(implied)) return lower
  const host = lower.slice(0, -implied.length)
  return host.includes(':') && !host.endsWith(']') ? lower : host
}

/** What names the server of `http://127.0.0.1:9000` in a Host field. A socket has no name of its own. */
export function hostOf(origin: string): string {
  return socketPathOf(origin) !== null ? 'localhost' : origin.slice(origin.indexOf('//') + 2)
}

/** A host without the brackets of an IPv6 address (RFC 3986 §3.2.2), as sockets and certificates name it. */
export function bareHost(host: string): string {
  return host.replace(/^\[|\]$/g, '')
}

/** The path of `unix:/run/books.sock`; null where an origin is of another kind. */
export function socketPathOf(origin: string): string | null {
  return origin.startsWith('unix:') ? origin.slice('unix:'.length) : null
}
