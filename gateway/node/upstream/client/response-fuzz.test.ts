/** Two seconds of `npm run fuzz -- responses`: the same answers in every run, then some that nobody has seen. */

import { expect, test } from 'vitest'
import { findingOf, fuzz } from '../../../bench/fuzz/responses.ts'

test('[FR-054] no answer is framed differently than llhttp frames it', async () => {
  for (let seed = 1; seed <= 1000; seed++) expect(findingOf(seed), `seed ${seed}`).toBeNull()
  const seed = Date.now() % 1_000_000_000
  expect(await fuzz({ seed, seconds: 1, print: () => {} }), `from seed ${seed}`).toEqual([])
})
