/** Ids of requests are what they say they are: version 4, each digit random. */

import { expect, test } from 'vitest'
import { newRequestId } from './request-id.ts'

test('[FR-019] an id is a UUID of version 4, and no two are alike', () => {
  const ids = Array.from({ length: 10_000 }, newRequestId)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(new Set(ids).size).toBe(ids.length)
})

test('[FR-019] every digit but that of the version takes every value it may', () => {
  const ids = Array.from({ length: 2_000 }, newRequestId)
  const counts = Array.from({ length: 36 }, (_, at) => new Set(ids.map((id) => id[at])).size)
  const expected = Array.from('xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx', (place) => ({ x: 16, y: 4 })[place] ?? 1)
  expect(counts).toEqual(expected)
})
