/** Where a browser says that a request comes from (Fetch Metadata, RFC 6454). The one judgment behind every cross-site check. */

/** `unknown` when neither field is there. Sec-Fetch-Site rules over Origin, and only same-origin is ours; an Origin is compared whole. */
export function siteOf(
  ownOrigin: string,
  fetchSite: string | null,
  origin: string | null,
): 'ours' | 'foreign' | 'unknown' {
  if (fetchSite !== null) return fetchSite === 'same-origin' ? 'ours' : 'foreign'
  if (origin !== null) return origin === ownOrigin ? 'ours' : 'foreign'
  return 'unknown'
}
