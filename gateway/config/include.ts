/**
 * Several files, one policy. The main file names the others by globs within its own folder; each adds entries to the maps
 * that grow with a team, and every place keeps the file it stands in. All mistakes of all files at once.
 */

import { isObject } from '../http/json.ts'
import {
  type Issue,
  issueAt,
  nearest,
  type Path,
  type Placed,
  type Places,
  pathKey,
  placeName,
  type Source,
} from './issues.ts'
import { CHARS_MAX, readYaml } from './yaml.ts'

export interface PolicyText {
  /** As it names a place: the main file's own name, or a path relative to its folder. */
  readonly name: string
  readonly text: string
}

export interface Files {
  /** The main file, as it is printed. */
  readonly file: string
  /** Of a path relative to the folder of the main file. Throws when it cannot be read. */
  readFile(path: string): string
  /** Files that a glob relative to that folder matches, by such paths. Absent where only one file can be read. */
  listFiles?(glob: string): readonly string[]
}

interface ReadFiles {
  readonly tree: unknown
  readonly places: Places
  /** Of putting the files together; what each of them says can be judged all the same. */
  readonly issues: readonly Issue[]
  /** The main file first, then the others by name. */
  readonly texts: readonly PolicyText[]
}

/** Some file could not be read, so that nothing can be said of the whole. */
interface Unread {
  readonly unread: Issue[]
}

/** Sections that may stand in an included file: what a team owns. The rest is said once, in the main file. */
export const INCLUDED_SECTIONS = ['tokens', 'upstreams', 'routes', 'people', 'tests'] as const
export const INCLUDE_WORDS = 'expected a path within this folder, without `..`, such as `routes/*.yaml`'
/** Relative, without `..`, and of YAML. */
export const INCLUDE_GLOB = /^(?!(?:.*\/)?\.\.(?:\/|$))[^\s/\\][^\s\\]*\.ya?ml$/

const FILES_MAX = 1000

export function readFiles(text: string, files: Files): ReadFiles | Unread {
  const main = readYaml(text, files.file)
  if ('issues' in main) return { unread: main.issues }
  const { tree, places } = main
  const texts: PolicyText[] = [{ name: places.name, text }]
  const globs = globsOf(tree)
  if (globs.length === 0 || !isObject(tree)) return { tree, places, texts, issues: [] }

  const issues: Issue[] = []
  let isWhole = true
  const merged: Merged = { tree: { ...tree }, at: new Map(places.at), places }
  let charsCount = text.length
  const paths = listIncluded(globs, files, places, issues)
  if (issues.length > 0) isWhole = false
  for (const path of paths) {
    let included: string
    try {
      included = files.readFile(path)
    } catch {
      issues.push(issueAt(places, ['include'], { message: `the file ${path} cannot be read`, cure: UNREADABLE }))
      isWhole = false
      continue
    }
    charsCount += included.length
    if (charsCount > CHARS_MAX) {
      issues.push(issueAt(places, ['include'], { message: 'the policy is larger than 4 MiB', cure: 'keep it smaller' }))
      return { unread: issues }
    }
    texts.push({ name: path, text: included })
    const folder = files.file.slice(0, files.file.lastIndexOf('/') + 1)
    const part = readYaml(included, folder + path, path)
    if ('issues' in part) {
      issues.push(...part.issues)
      isWhole = false
    } else if (!merge(merged, part.tree, part.places, issues)) isWhole = false
  }
  if (!isWhole) return { unread: issues }
  return { tree: merged.tree, places: { ...places, at: merged.at }, texts, issues }
}

const UNREADABLE = 'check its permissions, or write a glob of `include` that leaves it out'

/** What `include` says, as far as it is text; the schema speaks of the rest. */
function globsOf(tree: unknown): { readonly at: number; readonly glob: string }[] {
  if (!isObject(tree) || !Array.isArray(tree.include)) return []
  return tree.include.flatMap((glob: unknown, at) => (typeof glob === 'string' ? [{ at, glob }] : []))
}

function listIncluded(
  globs: readonly { readonly at: number; readonly glob: string }[],
  files: Files,
  places: Places,
  issues: Issue[],
): readonly string[] {
  const found = new Set<string>()
  for (const { at, glob } of globs) {
    if (!INCLUDE_GLOB.test(glob)) {
      issues.push(issueAt(places, ['include', at], { message: INCLUDE_WORDS, cure: '' }))
      continue
    }
    if (files.listFiles === undefined) {
      issues.push(
        issueAt(places, ['include', at], { message: 'no other files can be read here', cure: 'write one file' }),
      )
      continue
    }
    const matched = files.listFiles(glob).filter((path) => path !== places.name)
    if (matched.length === 0) {
      issues.push(
        issueAt(places, ['include', at], {
          message: `no other file matches \`${glob}\``,
          cure: `globs are relative to the folder of ${places.name}; make the file, or remove the line`,
        }),
      )
    }
    for (const path of matched) found.add(path)
  }
  if (found.size > FILES_MAX) {
    issues.push(
      issueAt(places, ['include'], {
        message: `${found.size} files are included, and ${FILES_MAX} is the most`,
        cure: 'write fewer, larger files',
      }),
    )
    return []
  }
  return [...found].toSorted()
}

interface Merged {
  readonly tree: Record<string, unknown>
  readonly at: Map<string, Placed>
  readonly places: Places
}

/** False when a section is missing from the whole. */
function merge({ tree, at, places }: Merged, part: unknown, from: Places, issues: Issue[]): boolean {
  if (!isObject(part)) {
    const cure = `a file of \`include\` holds ${INCLUDED_SECTIONS.join(', ')}`
    issues.push(issueAt(from, [], { message: 'expected a map', cure }))
    return false
  }
  let isWhole = true
  const all = (): Places => ({ ...places, at })
  for (const [section, value] of Object.entries(part)) {
    if (!isSection(section)) {
      issues.push(issueAt(from, [section], { ...strangeSection(section, places), isAboutKey: true }))
      isWhole = false
    } else if (section === 'tests') {
      mergeList(tree, at, value, from, issues)
    } else if (!isObject(value)) {
      issues.push(
        issueAt(from, [section], { message: `expected a map of ${section}`, cure: 'remove the line if it is empty' }),
      )
      isWhole = false
    } else {
      const known = isObject(tree[section]) ? tree[section] : {}
      for (const name of Object.keys(value)) {
        if (!Object.hasOwn(known, name)) continue
        const first = placeName(all(), [section, name])
        const message = `\`${name}\` stands in two files, first at ${first}`
        issues.push(issueAt(from, [section, name], { message, cure: 'keep one of them', isAboutKey: true }))
      }
      if (tree[section] === undefined || isObject(tree[section])) tree[section] = { ...known, ...value }
    }
  }
  for (const [key, placed] of from.at) {
    const path = JSON.parse(key) as Path
    if (path.length > 0 && path[0] !== 'tests' && !at.has(key)) at.set(key, placed)
  }
  return isWhole
}

/** Tests of several files stand in one list, each at its own place. */
function mergeList(
  tree: Record<string, unknown>,
  at: Map<string, Placed>,
  value: unknown,
  from: Places,
  issues: Issue[],
): void {
  if (!Array.isArray(value)) {
    issues.push(issueAt(from, ['tests'], { message: 'expected a list of tests', cure: 'begin each with `- `' }))
    return
  }
  if (tree.tests !== undefined && !Array.isArray(tree.tests)) return
  const known: unknown[] = tree.tests ?? []
  tree.tests = [...known, ...value]
  for (const [key, placed] of from.at) {
    const [section, index, ...rest] = JSON.parse(key) as Path
    if (section !== 'tests') continue
    const moved = typeof index === 'number' ? ['tests', known.length + index, ...rest] : ['tests']
    if (!at.has(pathKey(moved))) at.set(pathKey(moved), placed)
  }
}

function strangeSection(section: string, { name }: Source): { readonly message: string; readonly cure: string } {
  if (section === 'include') {
    return { message: 'an included file includes no others', cure: `name the files in \`include\` of ${name}` }
  }
  const guess = nearest(section, INCLUDED_SECTIONS)
  if (guess !== null) return { message: `unknown key \`${section}\``, cure: `did you mean \`${guess}\`?` }
  return {
    message: `\`${section}\` does not stand in an included file`,
    cure: `move it to ${name}; here may stand ${INCLUDED_SECTIONS.join(', ')}`,
  }
}

function isSection(name: string): boolean {
  return (INCLUDED_SECTIONS as readonly string[]).includes(name)
}

/** What a policy's version is the SHA-256 of: the text, and for several files each with its name, whatever names the first. */
export function versionText(texts: readonly PolicyText[]): string {
  const [main, ...included] = texts
  if (main === undefined || included.length === 0) return main?.text ?? ''
  return JSON.stringify([main.text, ...included.map(({ name, text }) => [name, text])])
}
