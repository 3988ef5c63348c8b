/**
 * Route patterns: literal segments, `:name`, `*`, and a trailing `/**`, with an optional host in front. No regular expressions,
 * so two patterns can be compared.
 * Segments are compared percent-decoded: `/%40me` and `/@me` are one resource to an upstream that decodes, so they are one to us.
 */

import { parseTarget } from '../http/target.ts'
import { Refusal } from '../model.ts'
import { isHostLike, type OwnHost, parseHost } from './host.ts'

/** A literal in its comparable form, or null for a parameter. */
export type Segment = string | null

/** The paths of a pattern, whatever its host. */
export interface PathSet {
  readonly segments: readonly Segment[]
  /** Ends in `/**`: the prefix and all below it. */
  readonly isTail: boolean
}

export interface Pattern extends PathSet {
  /** As written in the policy file. */
  readonly text: string
  /** Authority as requests are compared by, `*.` in front for one label more; null for the origin's own. */
  readonly host: string | null
  /** Names of the parameters in order; `''` for `*`. */
  readonly names: readonly string[]
  /** Some literal reads differently to a lenient server for more than its case; only for upstreams with `paths: exact`. */
  readonly isPeculiar: boolean
}

export interface PatternError {
  readonly message: string
  readonly cure: string
}

const PATTERN_CHARS_MAX = 1024
const SEGMENTS_MAX = 64
const NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/

/** Parses one pattern. A literal must already be in the form requests are compared in: nothing is repaired silently. */
export function parsePattern(text: string, own: OwnHost): Pattern | PatternError {
  if (text.length > PATTERN_CHARS_MAX)
    return fail('the pattern is too long', `keep it under ${PATTERN_CHARS_MAX} characters`)
  if (text.startsWith('/')) return parsePath(text, text, null)
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0] ?? ''
  const slash = text.indexOf('/', scheme.length)
  const hostText = slash < 0 ? text : text.slice(0, slash)
  if (scheme === '' && !isHostLike(hostText)) return fail('a pattern begins with `/`', `write \`/${text}\``)
  const found = parseHost(hostText, own)
  if ('message' in found) return found
  if (slash < 0) {
    return fail(
      `\`${text}\` names a host and no path`,
      `write \`${text}/**\` for all of it, or \`/${text}\` for a path`,
    )
  }
  return parsePath(text, text.slice(slash), found.host)
}

function parsePath(text: string, path: string, host: string | null): Pattern | PatternError {
  const isTail = path.endsWith('/**')
  const body = isTail ? path.slice(0, -3) : path
  const raw = body === '' ? [] : body.slice(1).split('/')
  if (raw.length > SEGMENTS_MAX)
    return fail('the pattern has too many segments', `keep it under ${SEGMENTS_MAX} segments`)
  const segments: Segment[] = []
  const names: string[] = []
  let isPeculiar = false
  for (const segment of raw) {
    if (segment === '*') {
      segments.push(null)
      names.push('')
    } else if (segment.startsWith(':')) {
      const name = segment.slice(1)
      if (!NAME.test(name))
        return fail(`\`${segment}\` is not a parameter`, 'write `:name`: a letter, then letters, digits or `_`')
      if (names.includes(name))
        return fail(`the parameter \`:${name}\` stands twice`, 'give each parameter its own name')
      segments.push(null)
      names.push(name)
    } else {
      const error = literalError(segment, text)
      if (error !== null) return error
      const isRoot = segment === '' && raw.length === 1 && !isTail
      isPeculiar ||= !isRoot && isReadOtherwise(segment)
      segments.push(segmentKey(segment))
    }
  }
  return { text, host, segments, isTail, names, isPeculiar }
}

/** What a segment of a canonical path is compared by: percent-decoded, or marked when its bytes are not UTF-8. */
export function segmentKey(segment: string): string {
  if (!segment.includes('%')) return segment
  try {
    return decodeURIComponent(segment)
  } catch {
    return `\0${segment.toUpperCase()}` // a decoded segment never holds NUL, so the two kinds never meet
  }
}

/** How the most lenient server reads a segment: decoded, parameters dropped, trailing dots and blanks trimmed, case folded. */
export function lenientKey(segment: string): string {
  if (PLAIN.test(segment)) return segment.toLowerCase()
  const key = segmentKey(segment)
  const semicolon = key.indexOf(';')
  const kept = semicolon < 0 ? key : key.slice(0, semicolon)
  return foldCase(kept.replace(TRAILING, ''))
}

/** Letters that differ in case only become one, those too that do so for some servers: `ſ` is an `S`, and `ß` two, where capitals are compared. */
export function foldCase(text: string): string {
  return PLAIN.test(text) ? text.toLowerCase() : text.toLowerCase().toUpperCase().toLowerCase()
}

const PLAIN = /^[A-Za-z0-9_-]*$/
const TRAILING = /[. ]+$/

/** Does `wide` match every path that `narrow` matches? */
export function covers(wide: PathSet, narrow: PathSet): boolean {
  if (narrow.segments.length < wide.segments.length) return false
  if (!wide.isTail && (narrow.isTail || narrow.segments.length > wide.segments.length)) return false
  return wide.segments.every((segment, at) => {
    const other = narrow.segments[at]!
    return segment === null ? other !== '' : segment === other
  })
}

/** The set of paths of a pattern as text: equal for patterns that match the same paths. */
export function shapeOf(pattern: PathSet): string {
  const shown = pattern.segments.map((segment) => (segment === null ? '*' : encodeLiteral(segment)))
  const path = shown.length === 0 ? '' : `/${shown.join('/')}`
  return pattern.isTail ? `${path}/**` : path
}

/** The literal text in front of the first parameter, as a path. */
export function literalPrefix(pattern: Pattern): string {
  const end = pattern.segments.indexOf(null)
  const literals = end < 0 ? pattern.segments : pattern.segments.slice(0, end)
  const prefix = `/${literals.join('/')}`
  return end < 0 || literals.length === 0 ? prefix : `${prefix}/`
}

/** The segment as it may stand in a pattern: what would end or change the pattern is escaped again. */
export function encodeLiteral(segment: string): string {
  if (segment.startsWith('\0')) return segment.slice(1)
  return encodeURIComponent(segment)
    .replaceAll('*', '%2A')
    .replace(SUB_DELIMS, (escaped) => decodeURIComponent(escaped))
}

/** RFC 3986 §3.3: what may stand in a segment without an escape, except what a pattern would read as its own. */
const SUB_DELIMS = /%(?:24|26|2B|2C|3D|40|3B)|(?<=.)%3A/g

/** An empty segment is collapsed by some servers, `%25` decoded twice, `;` and trailing dots dropped (SECURITY rule 4). */
function isReadOtherwise(segment: string): boolean {
  return segment === '' || segment.includes('%25') || lenientKey(segment) !== foldCase(segmentKey(segment))
}

function literalError(segment: string, text: string): PatternError | null {
  if (segment.includes('*')) {
    return fail(
      `\`${segment}\` holds a \`*\` beside other characters`,
      segment === '**'
        ? '`**` stands only at the end of a pattern, as `/**`'
        : 'a `*` stands for one whole segment, and `/**` at the end for all below',
    )
  }
  if (/^\{.*\}$/.test(segment)) {
    return fail(`\`${segment}\` is not a parameter`, `write \`:${segment.slice(1, -1) || 'name'}\``)
  }
  if (/[?#]/.test(segment)) {
    return fail('a pattern has no query and no fragment', 'patterns match the path only; test a query with `when`')
  }
  const parsed = parseTarget(`/${segment}`)
  if (parsed instanceof Refusal) {
    const isPlain = !/[\s\\%]/.test(segment) && !/^\.+$/.test(segment)
    return fail(`\`${text}\` holds a segment that no request can have: \`${segment}\``, cureOf(segment, isPlain))
  }
  if (parsed.path !== `/${segment}`) {
    return fail(
      `\`${segment}\` is not in canonical form`,
      `write it as requests are compared: \`${parsed.path.slice(1)}\``,
    )
  }
  return null
}

function cureOf(segment: string, isPlain: boolean): string {
  if (isPlain) return `escape it: \`${encodeURIComponent(segment)}\``
  if (/%2f/i.test(segment)) return 'write `:name` in its place, and `encodedSlash: keep` on the route'
  return 'such a path is refused with 400 before routes are asked'
}

function fail(message: string, cure: string): PatternError {
  return { message, cure }
}
