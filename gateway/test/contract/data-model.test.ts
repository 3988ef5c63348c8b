/**
 * data-model.md has one section per exported name of model.ts and rules.ts, and a row per field with its type as written.
 * The TypeScript text is read directly: exports and fields stand at known indentations, which the formatter keeps.
 */

import { expect, test } from 'vitest'
import { read, SPECS, tableUnder } from './documents.ts'

const source = withoutComments(`${read('gateway/model.ts')}\n${read('gateway/rules.ts')}`)
const page = read(`${SPECS}/data-model.md`)

interface Declared {
  readonly name: string
  /** Field and type, for interfaces and classes; values, for a union of literals; else empty. */
  readonly rows: readonly (readonly string[])[]
}

function withoutComments(text: string): string {
  return text.replace(/\/\*\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
}

function declarations(text: string): Declared[] {
  const found = [...text.matchAll(/^export (?:interface|class|type|const) (\w+)/gm)]
  return found.map((match, i) => {
    const next = found[i + 1]
    const body = text.slice(match.index, next?.index)
    return { name: match[1]!, rows: /^export (?:interface|class)/.test(body) ? fields(body) : literals(body) }
  })
}

/** Fields stand two spaces in and begin with `readonly`; a longer type goes on below, deeper. */
function fields(body: string): string[][] {
  return [...body.matchAll(/^ {2}readonly (\w+\??): ?((?:.*\n)(?: {4,}.*\n)*)/gm)].map((match) => [
    match[1]!,
    match[2]!.replace(/\s+/g, ' ').trim().replace(/^\| /, ''),
  ])
}

function literals(body: string): string[][] {
  const [, union] = /^export type \w+ =((?:[\s|]*'[\w-]+')+)\s*$/.exec(body.trim()) ?? []
  return union === undefined ? [] : [...union.matchAll(/'([\w-]+)'/g)].map((match) => [match[1]!])
}

const declared = declarations(source)

test('[FR-027] the reader of the nouns finds what is there', () => {
  expect(declared.length).toBeGreaterThan(20)
  expect(declared.find(({ name }) => name === 'Target')?.rows[0]).toEqual(['scheme', "'http' | 'https'"])
  expect(declared.find(({ name }) => name === 'CredentialKind')?.rows).toContainEqual(['session'])
  expect(declared.find(({ name }) => name === 'Refusal')?.rows[0]).toEqual(['reason', 'Reason'])
})

test('[FR-027] data-model.md has a section for each exported name, in their order, and no other', () => {
  const sections = [...page.matchAll(/^### (\w+)$/gm)].map((match) => match[1])
  expect(sections).toEqual(declared.map(({ name }) => name))
})

for (const { name, rows } of declared) {
  if (rows.length === 0) continue
  test(`[FR-027] data-model.md tells ${name} as it is`, () => {
    const told = tableUnder(page, `### ${name}`)
    expect(told.map((cells) => cells.slice(0, rows[0]!.length))).toEqual(rows)
    for (const cells of told) expect(cells.at(-1), `${name}.${cells[0]}`).not.toBe('')
  })
}
