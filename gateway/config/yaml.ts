/**
 * Reads YAML into plain values, with the place of each. A small YAML: no anchors, aliases, tags or merge keys, no duplicate keys,
 * one document, bounded size and depth (SECURITY rule 36). All errors at once.
 */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

import { isAlias, isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument, visit } from 'yaml'
import { type Issue, type Path, type Place, type Placed, type Places, pathKey } from './issues.ts'
import { mask } from './mask.ts'

export interface YamlFile {
  readonly tree: unknown
  readonly places: Places
}

/** Of all files of a policy together: some thirty thousand routes. */
export const CHARS_MAX = 4 * 1024 ** 2
const LINE_CHARS_MAX = 4096
const DEPTH_MAX = 16
const ERRORS_MAX = 20

/** `${env:NAME}` inside { } or [ ] without quotes: YAML reads its braces as a map of its own. */
const BARE_REFERENCE = /(?<=[{[,][^{}]*?)\$\{(?:env|file):[^}\s]*\}/g
/** `*.host` without quotes: YAML reads a leading asterisk as an alias. */
const BARE_WILDCARD = /(?<=^\s*|[-:[{,]\s*)\*[.\w*-]*\.[\w.*/-]+/g

/** `name` is how places in it are called; the last part of `file` unless it is given. */
export function readYaml(
  text: string,
  file: string,
  name = file.slice(file.lastIndexOf('/') + 1),
): YamlFile | { readonly issues: Issue[] } {
  const lines = text.split(/\r?\n/)
  const from = { file, name, lines }
  const counter = new LineCounter()
  const issues: Issue[] = []
  const seen = new Set<string>()

  const report = (place: Place, message: string, cure: string): void => {
    const key = `${place.line}:${message}`
    if (seen.has(key) || issues.length >= ERRORS_MAX) return
    seen.add(key)
    const source = mask(lines[place.line - 1] ?? '')
    issues.push({ file, ...place, path: '', message, cure, source })
  }
  const at = (range: readonly number[] | null | undefined, length?: number): Place => {
    const [start = 0, end = start] = range ?? []
    const { line, col } = counter.linePos(start)
    return { line: Math.max(1, line), column: Math.max(1, col), length: length ?? Math.max(1, end - start) }
  }
  /** The two mistakes everybody makes: both are recognized by the line, for what YAML says of them helps nobody. */
  const reportBare = (line: number): boolean => {
    const source = lines[line - 1] ?? ''
    const plain = withoutQuotes(source)
    const references = [...plain.matchAll(BARE_REFERENCE)]
    const found = references.length > 0 ? references : [...plain.matchAll(BARE_WILDCARD)]
    const [first] = found
    if (first === undefined) return false
    let quoted = source
    for (const { 0: bare, index } of found.toReversed()) {
      quoted = `${quoted.slice(0, index)}"${bare}"${quoted.slice(index + bare.length)}`
    }
    const what = references.length > 0 ? '`${...}` inside { } or [ ]' : 'a value that begins with `*`'
    const place = { line, column: first.index + 1, length: first[0].length }
    report(place, `${what} must be quoted in YAML`, `write\n  ${mask(quoted.trim())}`)
    return true
  }

  if (text.length > CHARS_MAX) {
    report({ line: 1, column: 1, length: 1 }, 'the policy is larger than 4 MiB', 'keep it smaller')
    return { issues }
  }
  const foreign = lines.findIndex((line) => NOT_TEXT.test(line))
  if (foreign >= 0) {
    const column = lines[foreign]!.search(NOT_TEXT) + 1
    report({ line: foreign + 1, column, length: 1 }, 'this is not UTF-8 text', 'save the file as UTF-8')
    return { issues }
  }
  const long = lines.findIndex((line) => line.length > LINE_CHARS_MAX)
  if (long >= 0) {
    lines[long] = ''
    report({ line: long + 1, column: 1, length: 1 }, `the line is longer than ${LINE_CHARS_MAX} characters`, 'break it')
    return { issues }
  }
  if (nestingOf(lines) > DEPTH_MAX * 4) {
    report({ line: 1, column: 1, length: 1 }, 'the policy file is nested too deeply', `keep within ${DEPTH_MAX} levels`)
    return { issues }
  }
  const document = parseDocument(text, {
    lineCounter: counter,
    prettyErrors: false,
    uniqueKeys: false,
    merge: false,
    resolveKnownTags: false,
    logLevel: 'error', // with 'silent' a second document would be passed over
  })
  for (const [at, line] of lines.entries())
    if (line.includes('${') && withoutQuotes(line).search(BARE_REFERENCE) >= 0) reportBare(at + 1)
  if (issues.length > 0) return { issues } // what YAML says after such a line follows from it
  for (const error of document.errors) {
    const place = at(error.pos, 1)
    if (!reportBare(place.line)) report(place, yamlMessage(error.message), yamlCure(error.code))
  }
  if (issues.length > 0) return { issues }

  visit(document, {
    Alias: (_, node) => {
      const place = at(node.range)
      if (!reportBare(place.line))
        report(place, 'aliases are not available', 'write the value again, or quote it if it begins with `*`')
    },
    Node: (_, node) => {
      if ('anchor' in node && node.anchor !== undefined) {
        report(
          at(node.range),
          `anchors are not available: \`&${node.anchor}\``,
          'write the value without `&`, or quote it',
        )
      }
      if ('tag' in node && node.tag !== undefined && !IMPLIED_TAG.test(node.tag)) {
        report(at(node.range), `tags are not available: \`${node.tag}\``, 'write the value without `!`')
      }
    },
  })

  const places = new Map<string, Placed>()
  const read = (node: unknown, path: Path, key: Place | null): unknown => {
    const range = isMap(node) || isSeq(node) || isScalar(node) || isAlias(node) ? node.range : null
    places.set(pathKey(path), {
      key,
      value: range === null && key !== null ? key : at([range?.[0] ?? 0, range?.[1] ?? 0]),
      source: from,
    })
    if (path.length > DEPTH_MAX) {
      report(at(range, 1), 'the policy file is nested too deeply', `keep within ${DEPTH_MAX} levels`)
      return null
    }
    if (isSeq(node)) return node.items.map((item, index) => read(item, [...path, index], null))
    if (isMap(node)) return readMap(node.items, path)
    return isScalar(node) ? node.value : null
  }
  const readMap = (items: readonly Pair[], path: Path): Record<string, unknown> => {
    const map: Record<string, unknown> = {}
    const lineOf = new Map<string, number>()
    for (const { key, value } of items) {
      const place = at(isScalar(key) ? key.range : null)
      if (!isScalar(key) || typeof key.value !== 'string' || key.value === '__proto__') {
        report(
          isScalar(key) ? place : at((key as { range?: number[] } | null)?.range, 1),
          'a key must be plain text',
          'quote it',
        )
        continue
      }
      const name = key.value
      const first = lineOf.get(name)
      if (first !== undefined) report(place, `\`${name}\` stands twice, first in line ${first}`, 'keep one of them')
      lineOf.set(name, place.line)
      map[name] = read(value, [...path, name], {
        ...place,
        length: Math.max(1, (key.range?.[1] ?? 0) - (key.range?.[0] ?? 0)),
      })
    }
    return map
  }
  const tree = read(document.contents, [], null)
  return issues.length > 0 ? { issues } : { tree, places: { ...from, at: places } }
}

/** What stands for bytes that are not UTF-8; UTF-16 and binary files hold a NUL soon. */
const NOT_TEXT = /[\0\uFFFD]/

const IMPLIED_TAG = /^tag:yaml\.org,2002:(?:map|seq|str|int|float|bool|null)$/

/** The line with quoted text and comments blanked, each character in its place. */
function withoutQuotes(line: string): string {
  return line.replace(/"(?:[^"\\]|\\.)*"|'[^']*'|(?:^|\s)#.*$/g, (text) => ' '.repeat(text.length))
}

/** Depth of brackets and of indentation, found without a parser: a parser that recurses is not asked to find it. */
function nestingOf(lines: readonly string[]): number {
  let [open, deepest] = [0, 0]
  for (const line of lines) {
    if (INDENTED.test(line)) return Number.POSITIVE_INFINITY
    if (!/[[\]{}]/.test(line)) continue
    for (const character of withoutQuotes(line)) {
      if (character === '[' || character === '{') open += 1
      else if (character === ']' || character === '}') open = Math.max(0, open - 1)
      deepest = Math.max(deepest, open)
    }
  }
  return deepest
}

const INDENTED = /^(?: {512}|(?: *[-?:] +){64})/

function yamlMessage(message: string): string {
  if (message.startsWith('Source contains multiple documents')) return 'there are several documents in the file'
  return `not valid YAML: ${message.split('\n')[0]!.replace(/^./, (first) => first.toLowerCase())}`
}

function yamlCure(code: string): string {
  if (code === 'TAB_AS_INDENT') return 'indent with blanks, never with tabs'
  if (code === 'MULTIPLE_DOCS') return 'keep one document in the file'
  if (code === 'BAD_INDENT' || code === 'BLOCK_AS_IMPLICIT_KEY')
    return 'check the indentation of this line and the one above'
  return 'check the punctuation of this line and the one above; text with `: ` or ` #` in it needs quotes'
}
