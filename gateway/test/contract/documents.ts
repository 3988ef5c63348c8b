/** Reads the project's documents for the tests that keep them true: tables, sections and fences, nothing cleverer. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
export const SPECS = 'specs/002-auth-security-integration'

export function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** Rows of the first table under a heading, cells trimmed and without backticks. The header row is left out. */
export function tableUnder(markdown: string, heading: string): string[][] {
  const [table = ''] = /^\|.*(?:\n\|.*)*/m.exec(sectionOf(markdown, heading)) ?? []
  const rows = table.split('\n').map((line) => line.slice(1, -1).split(/(?<!\\)\|/))
  return rows.slice(2).map((cells) => cells.map((cell) => cell.trim().replaceAll('`', '').replaceAll('\\|', '|')))
}

/** The text between a heading and the next one of the same or a higher level. */
export function sectionOf(markdown: string, heading: string): string {
  const lines = markdown.split('\n')
  const at = lines.indexOf(heading)
  if (at < 0) throw new Error(`no heading "${heading}"`)
  const level = /^#+/.exec(heading)![0].length
  const end = lines.findIndex((line, i) => i > at && (/^#+/.exec(line)?.[0].length ?? 7) <= level)
  return lines.slice(at + 1, end < 0 ? undefined : end).join('\n')
}

/** Bodies of the fenced blocks of one language, in order. */
export function fences(markdown: string, language: string): string[] {
  return [...markdown.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map((match) => match[1]!)
}

/** Every file below a folder, as paths from the root, without dependencies and generated files. */
export function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (!entry.isDirectory()) return [path]
    return entry.name === 'node_modules' || entry.name === 'generated' ? [] : filesBelow(path)
  })
}

/** Names of a drawn tree (`name/`, indented by two) as paths, with the drawing's root left out. */
export function treePaths(drawing: string): string[] {
  const paths: string[] = []
  const parents: string[] = []
  for (const line of drawing.split('\n')) {
    const match = /^( *)([\w.@-]+(?:\/[\w.@-]+)*\/?)/.exec(line)
    if (match === null) continue
    const depth = match[1]!.length / 2
    parents.length = depth
    const name = match[2]!
    paths.push([...parents, name].join(''))
    if (name.endsWith('/')) parents[depth] = name
  }
  return paths
}
