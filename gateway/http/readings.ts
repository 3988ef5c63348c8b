/**
 * What else a lenient server could take a path for (SECURITY rule 4). Nothing is changed by these readings: a path is
 * forwarded as written, but only where each of them leads to the same route.
 */

import { Refusal } from '../model.ts'

/** A reading that leaves the tree of paths: a dot segment, an encoded slash, a name of dots only. No route can meet it. */
const NOWHERE = ''
/** A path with more readings is read as nothing at all; ordinary paths have at most a handful. */
const READINGS_MAX = 48
/** Longer paths are not worked through: a stranger pays for this work with one packet. */
const CHARS_MAX = 2048

const NONE: readonly string[] = Object.freeze([])
const ONLY_NOWHERE: readonly string[] = Object.freeze([NOWHERE])

/**
 * Every other reading of a canonical path: slashes collapsed, parameters dropped, decoded once more, trailing dots, blanks
 * and slash trimmed, case folded, and all of these together until nothing new appears. Empty for nearly every path.
 * `canonicalPath` is the canonicalizer that each reading is put through again.
 */
export function readOtherwise(path: string, canonicalPath: (text: string) => string | Refusal): readonly string[] {
  if (!PECULIAR.test(path) || path === '/') return NONE
  if (ONLY_UPPER_CASE.test(path)) return [path.toLowerCase()]
  if (path.length > CHARS_MAX) return ONLY_NOWHERE
  const readings = new Set([path])
  // A Set also walks what is added on the way, so this ends when no reading of a reading is new.
  for (const reading of readings) {
    for (const read of READERS) {
      const text = read(reading)
      if (text === reading) continue
      const other = text === NOWHERE ? NOWHERE : canonicalPath(text)
      if (other === NOWHERE || other instanceof Refusal || readings.size > READINGS_MAX) return ONLY_NOWHERE
      readings.add(other)
    }
  }
  readings.delete(path)
  return readings.size === 0 ? NONE : [...readings]
}

/** What one of the readers would change. Escapes of other bytes are data to every server, and so is the case of their digits. */
const PECULIAR = /(?<!%|%[0-9A-Fa-f])[A-Z]|;|\/\/|\/$|\.(?:\/|$)|%(?:2[035]|3[BbFf])/
const ONLY_UPPER_CASE = /^(?:\/[A-Za-z0-9_~!$&'()*+,=:@-]+(?:\.+[A-Za-z0-9_~!$&'()*+,=:@-]+)*)+$/

const READERS: readonly ((path: string) => string)[] = [collapse, dropParameters, decodeAgain, trim, fold]

function collapse(path: string): string {
  return path.includes('//') ? path.replace(/\/{2,}/g, '/') : path
}

/** Servlet containers end a segment at `;`, some after decoding it. */
function dropParameters(path: string): string {
  return path.replace(/(?:;|%3b)[^/]*/gi, '')
}

/** A server that decodes twice; and since it parses what it decoded, `?` and `#` then end the path. */
function decodeAgain(path: string): string {
  if (!path.includes('%')) return path
  if (/%252f/i.test(path)) return NOWHERE // a slash that nobody wrote, even where an encoded one is data
  const end = path.search(/%(?:3f|23)/i)
  return (end < 0 ? path : path.slice(0, end)).replace(/%25(?=[0-9a-f]{2}|u[0-9a-f]{4})/gi, '%')
}

/** Windows drops dots and blanks at the end of a name; many routers drop the last slash. */
function trim(path: string): string {
  if (!TRIMMED.test(path)) return path
  const segments = path.split('/')
  for (let at = 1; at < segments.length; at += 1) {
    const segment = segments[at]!
    let end = segment.length
    while (end > 0) {
      if (segment[end - 1] === '.') end -= 1
      else if (segment.endsWith('%20', end)) end -= 3
      else break
    }
    if (end === 0 && segment !== '') return NOWHERE
    segments[at] = segment.slice(0, end)
  }
  while (segments.length > 2 && segments.at(-1) === '') segments.pop()
  return segments.join('/')
}

const TRIMMED = /(?:\.|%20)(?:\/|$)|.\/$/

/** Escapes keep the case of their digits: they are compared by what they decode to. */
function fold(path: string): string {
  if (!UPPER_CASE.test(path)) return path
  return path.replace(/(%..)|[A-Z]+/g, (text, escaped: string | undefined) => escaped ?? text.toLowerCase())
}

const UPPER_CASE = /[A-Z]/
