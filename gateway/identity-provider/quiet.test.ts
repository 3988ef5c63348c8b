/** A log that tells of an outage once. */

import { expect, test } from 'vitest'
import { quietLog } from './quiet.ts'

test('[FR-023] an outage is said once and again after a while, and does not hide another', () => {
  const said: unknown[] = []
  let atMs = 0
  const log = quietLog(
    (error) => said.push(String(error)),
    () => atMs,
  )
  for (let at = 0; at < 100; at += 1) log(new Error('database gone'))
  log(new Error('keys gone'))
  atMs = 10_000
  log(new Error('database gone'))
  expect(said).toEqual(['Error: database gone', 'Error: keys gone', 'Error: database gone'])
})
