/** contracts/errors.md lists the catalogue, the whole catalogue and nothing but the catalogue. */

import { expect, test } from 'vitest'
import { PROBLEMS, REASONS } from '../../problem/catalogue.ts'
import { read, SPECS, tableUnder } from './documents.ts'

const page = read(`${SPECS}/contracts/errors.md`)

test('[FR-019] the table of problems is the catalogue, with status, title and fault', () => {
  const rows = tableUnder(page, '## Problems').map(([code, status, title, fault]) => [
    code,
    Number(status),
    title,
    fault,
  ])
  const problems = Object.entries(PROBLEMS).map(([code, { status, title, fault }]) => [code, status, title, fault])
  expect(rows.toSorted()).toEqual(problems.toSorted())
})

test('[FR-019] each problem says when it happens and what to do', () => {
  for (const row of tableUnder(page, '## Problems')) {
    expect(row, row[0]).toHaveLength(6)
    for (const cell of row) expect(cell, row[0]).not.toBe('')
  }
})

test('[FR-019] the table of reasons is the catalogue, each with its code', () => {
  const rows = tableUnder(page, '## Reasons').map(([reason, code]) => [reason, code])
  expect(rows.toSorted()).toEqual(Object.entries(REASONS).toSorted())
})
