/**
 * Finds and removes our cookies among others (RFC 6265 §4.2). Others' cookies pass byte for byte; ours are recognized the
 * way the most lenient server would, in any case and behind any name prefix.
 */

/** Every value of the cookie of exactly this name in one Cookie value, as presented, blanks around it removed. */
export function cookieValues(cookies: string, name: string): readonly string[] {
  if (!cookies.includes(name)) return NONE
  const values: string[] = []
  for (const pair of cookies.split(';')) {
    const equals = pair.indexOf('=')
    if (equals >= 0 && pair.slice(0, equals).trim() === name) values.push(pair.slice(equals + 1).trim())
  }
  return values
}

const NONE: readonly string[] = Object.freeze([])

export interface OwnCookies {
  /** Is this text, a cookie pair or a whole Set-Cookie value, about a cookie of ours? */
  is(text: string): boolean
  /** False only if no cookie of ours is anywhere in it. */
  maybeIn(cookies: string): boolean
}

/**
 * Compiles cookie name prefixes into a test. Case, blanks and name prefixes in front are looked behind. A nameless `=ours=x`
 * is ours too: browsers send it back as `ours=x` (RFC 6265bis §5.7 refuses that for `__Host-` and `__Secure-` names only).
 */
export function ownCookies(prefixes: readonly string[]): OwnCookies {
  const known = tests.get(prefixes)
  if (known !== undefined) return known
  const stems = prefixes.map((prefix) => prefix.replace(LEADING, '').replace(/[^A-Za-z0-9]/g, '\\$&'))
  const any = stems.length === 0 ? '$.' : `(?:${stems.join('|')})`
  const first = new RegExp(`${LEADING.source}${any}`, 'i')
  const anywhere = new RegExp(any, 'i')
  const own: OwnCookies = { is: (text) => first.test(text), maybeIn: (cookies) => anywhere.test(cookies) }
  tests.set(prefixes, own)
  return own
}

const tests = new WeakMap<readonly string[], OwnCookies>()

/** RFC 6265bis §4.1.3, the later `__Http-` too, however many. */
const LEADING = /^(?:[\s=]|__host-|__secure-|__http-)*/i

/** The Cookie value without our cookies; null when none is left. Others keep their bytes and order. */
export function withoutOwnCookies(cookies: string, own: OwnCookies): string | null {
  if (!own.maybeIn(cookies)) return cookies
  const pairs = cookies.split(';')
  const kept = pairs.filter((pair) => !own.is(pair))
  if (kept.length === pairs.length) return cookies
  const rest = kept.join(';').trim()
  return rest === '' ? null : rest
}
