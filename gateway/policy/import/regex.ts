/** Regular expressions over paths as patterns, for the few that say exactly what patterns can say. Never wider than the expression. */

const ALTERNATIVES_MAX = 64
/** What an expression says. */
export interface Expressed {
  /** Matches nothing that the expression does not. */
  readonly exact: string
  /** Matches all that the expression does, and at most the path above it too. */
  readonly wide: string
}

/** A segment of letters that mean themselves. */
const LITERAL = /^(?:[A-Za-z0-9_~@-]|\\[.\-/_~])+$/

/**
 * Patterns for what the expression matches of paths; null where they cannot say it. `/a/.*` is what lies below `/a/`, and `/a/`
 * itself, which has no pattern of its own. `start`: the expression is only anchored where it says so; `whole`: at both ends.
 */
export function patternsOf(regex: string, anchoring: 'start' | 'whole'): readonly Expressed[] | null {
  let body = regex
  if (body.startsWith('^')) body = body.slice(1)
  else if (anchoring === 'start') return null
  let isOpen = anchoring === 'start'
  let isTail = false
  if (/(?<!\\)\$$/.test(body)) {
    body = body.slice(0, -1)
    isOpen = false
  }
  const rest = REST.find((words) => body.endsWith(words))
  if (rest !== undefined) {
    body = body.slice(0, -rest.length)
    // `.*` after a slash is everything below; an optional rest that begins with a slash is the path itself too.
    if (rest.startsWith('(')) return isOpen ? null : wholePaths(body)
    isOpen = true
  }
  if (isOpen) {
    if (!body.endsWith('/')) return null // `^/public` is `/publicity` too
    body = body.slice(0, -1)
    isTail = true
  }
  const paths = expand(body)
  if (paths === null) return null
  const patterns = paths.map((path) => {
    const plain = plainOf(path)
    if (plain === null) return null
    if (!isTail) return plain === '' ? null : { exact: plain, wide: plain }
    return plain === '' ? { exact: '/**', wide: '/**' } : { exact: `${plain}/*/**`, wide: `${plain}/**` }
  })
  return patterns.includes(null) ? null : (patterns as Expressed[])
}

/** What may follow a path; `([/?].*)?` is how Authelia's manual writes a path and all below it. */
const REST = ['([/?].*)?', '(/.*)?', '(?:/.*)?', '.*', '.+']

function wholePaths(body: string): readonly Expressed[] | null {
  const patterns = expand(body)?.map((path) => {
    const plain = plainOf(path)
    return plain === null || plain === '' || plain.endsWith('/') ? null : { exact: `${plain}/**`, wide: `${plain}/**` }
  })
  return patterns === undefined || patterns.includes(null) ? null : (patterns as Expressed[])
}

/** `(a|b)` as both. Nothing else that groups is understood. */
function expand(body: string): readonly string[] | null {
  let found: readonly string[] = [body]
  for (;;) {
    const group = found
      .map((path) => /^(.*?)(?<!\\)\((?:\?:)?([^()]*)\)(?![*+?{])(.*)$/.exec(path))
      .find((match) => match !== null)
    if (group === undefined) return found
    const wanted = group[0]
    const [, before = '', inner = '', after = ''] = group
    found = found.flatMap((path) =>
      path === wanted ? inner.split('|').map((word) => `${before}${word}${after}`) : [path],
    )
    if (found.length > ALTERNATIVES_MAX) return null
  }
}

/** Literal segments and `[^/]+`; null for anything else. */
function plainOf(path: string): string | null {
  if (path === '') return ''
  if (!path.startsWith('/') || path.includes('|')) return null
  const segments = path.slice(1).split(/\/(?![^[]*\])/)
  const plain = segments.map((segment) => {
    if (segment === '[^/]+') return '*'
    if (!LITERAL.test(segment)) return null
    return segment.replace(/\\(.)/g, '$1')
  })
  const isRoot = segments.length === 1 && segments[0] === ''
  if (isRoot) return '/'
  return plain.includes(null) ? null : `/${plain.join('/')}`
}
