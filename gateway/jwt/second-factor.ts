/** Which of our own sign-ins showed a second factor, by their method references (RFC 8176 §2). */

/** What one holds, beside what one knows. */
const HELD: readonly string[] = ['otp', 'hwk', 'swk']

/**
 * `mfa` says it outright: a passkey that its holder unlocked has it. A code or a key alone is one factor, and may have come by
 * mail; it is the second beside a password.
 */
export function hasSecondFactor(methods: readonly string[]): boolean {
  return methods.includes('mfa') || (methods.includes('pwd') && HELD.some((method) => methods.includes(method)))
}
