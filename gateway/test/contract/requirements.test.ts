/** Every requirement of spec.md is claimed by a test, and every id that a test claims is a requirement. */

import { expect, test } from 'vitest'
import { filesBelow, read, SPECS } from './documents.ts'

const spec = read(`${SPECS}/spec.md`)
const required = [...spec.matchAll(/^### (FR-\d{3}) \S/gm)].map((match) => match[1]!)

/** Ids in square brackets, as titles carry them, by the file that claims them. */
const claimed = new Map<string, string>()
for (const path of [...filesBelow('gateway'), ...filesBelow('upstream-mock')]) {
  if (!path.endsWith('.test.ts') && !path.startsWith('gateway/test/')) continue
  for (const [, ids] of read(path).matchAll(/\[(FR-\d{3}(?:, FR-\d{3})*)\]/g)) {
    for (const id of ids!.split(', ')) claimed.set(id, path)
  }
}

test('[FR-027] requirements are numbered without gaps', () => {
  expect(required).toEqual(required.map((_, i) => `FR-${String(i + 1).padStart(3, '0')}`))
})

test('[FR-027] every requirement is claimed by a test', () => {
  expect(required.filter((id) => !claimed.has(id))).toEqual([])
})

test('[FR-027] every id that a test claims is a requirement', () => {
  expect([...claimed].filter(([id]) => !required.includes(id))).toEqual([])
})

test('[FR-027] every id that a document of the feature names is a requirement', () => {
  const named = filesBelow(SPECS).flatMap((path) => [...read(path).matchAll(/FR-\d{3}/g)].map((match) => match[0]))
  expect(named.filter((id) => !required.includes(id))).toEqual([])
})

test('[FR-027] success criteria are numbered without gaps, and each says how it is measured', () => {
  const rows = [...spec.matchAll(/^\| (SC-\d{3}) \| (.+) \| (.+) \|$/gm)]
  expect(rows.map((row) => row[1])).toEqual(rows.map((_, i) => `SC-${String(i + 1).padStart(3, '0')}`))
  expect(rows.length).toBeGreaterThan(5)
})
