/** Authorities in one spelling each: lower case, and no port where the scheme implies it (RFC 9110 §4.2.3). */

/** For comparing. What is not an authority comes out as something no list of served hosts holds. */
export function normalizeAuthority(text: string, scheme: 'http' | 'https'): string {
  const lower = text.toLowerCase()
  const implied = scheme === 'https' ? ':443' : ':80'
  if (!lower.endsWith(implied)) return lower
  const host = lower.slice(0, -implied.length)
  return host.includes(':') && !host.endsWith(']') ? lower : host
}
