/** The order of endings: what was verified before one is dead, what was verified after is not. */

import { expect, test } from 'vitest'
import { createRevocations, type Revocable } from './revocations.ts'

const entry = (sequence: number): Revocable => ({ sequence, subject: 'u_1', sessionId: 's_1', sessionToken: 't_1' })

for (const revocation of [
  { kind: 'subject', id: 'u_1' },
  { kind: 'session', id: 's_1' },
  { kind: 'session-token', token: 't_1' },
  { kind: 'everything' },
] as const) {
  test(`[FR-009] a revocation of ${revocation.kind} ends what was verified before it and not what was verified after`, () => {
    const revocations = createRevocations()
    const before = entry(revocations.sequence)
    expect(revocations.isDead(before)).toBe(false)
    revocations.revoke([revocation])
    expect(revocations.isDead(before)).toBe(true)
    expect(revocations.isDead(entry(revocations.sequence))).toBe(false)
  })
}

test('[FR-009] a revocation of somebody else, or of the same name as something else, ends nothing', () => {
  const revocations = createRevocations()
  const before = entry(revocations.sequence)
  revocations.revoke([
    { kind: 'subject', id: 's_1' },
    { kind: 'session', id: 't_1' },
    { kind: 'session-token', token: 'u_1' },
    { kind: 'subject', id: 'u_2' },
  ])
  expect(revocations.isDead(before)).toBe(false)
})

test('[FR-009] at its cap the list forgets nobody: all that was verified before is asked about again', () => {
  const revocations = createRevocations(3)
  const before = entry(revocations.sequence)
  revocations.revoke([{ kind: 'subject', id: 'u_1' }])
  const between = entry(revocations.sequence)
  for (let at = 0; at < 5; at += 1) revocations.revoke([{ kind: 'subject', id: `other ${at}` }])
  expect(revocations.isDead(before)).toBe(true)
  expect(revocations.isDead(between)).toBe(true)
  expect(revocations.isDead(entry(revocations.sequence))).toBe(false)
})
