/** An error an operator can mend: its message says what is wrong and what to do, and it is shown without a stack. */

const CODE = 'POSTERN_STARTUP'

export function startupError(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { code: CODE })
}

export function isStartupError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && error.code === CODE
}

/** As `startupError`, where not what was found is wrong but the command itself: a file that is not there, an option that is none. */
export function usageError(message: string, cause?: unknown): Error {
  return Object.assign(startupError(message, cause), { isUsage: true })
}

export function isUsageError(error: unknown): boolean {
  return isStartupError(error) && 'isUsage' in error
}
