/** Which sign-ins of our own count as two factors (SECURITY rule 15). */

import { expect, test } from 'vitest'
import { hasSecondFactor } from './second-factor.ts'

const rows: readonly (readonly [readonly string[], boolean])[] = [
  [['pwd', 'otp'], true],
  [['hwk', 'pwd'], true],
  [['hwk', 'mfa'], true],
  [['mfa'], true],
  [['pwd'], false],
  [['otp'], false],
  [['hwk'], false],
  [['hwk', 'otp'], false],
  [['pwd', 'pin'], false],
  [[], false],
]
for (const [methods, expected] of rows) {
  test(`[FR-040] ${methods.join(' and ') || 'nothing'} ${expected ? 'is' : 'is not'} a second factor`, () => {
    expect(hasSecondFactor(methods)).toBe(expected)
  })
}
