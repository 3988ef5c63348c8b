/** What one request has done so far, kept beside it through every await: which password it compared, and whether what it wrote is known everywhere. */

import { defineRequestState, hasRequestState, runWithRequestState } from '@better-auth/core/context'

export interface RequestFacts {
  /** The stored hash that a presented password was found equal to. Only an account that still has it may be given a session. */
  comparedHash: string | null
  /** True once an entry was written that nodes learn of by reading the log and not at once. */
  isUncarried: boolean
}

const state = defineRequestState<RequestFacts>(() => ({ comparedHash: null, isUncarried: false }))

/** Null outside of a request, as on the command line. */
export async function currentFacts(): Promise<RequestFacts | null> {
  return (await hasRequestState()) ? state.get() : null
}

/** Runs one request, and tells what became of it. */
export async function withFacts<T>(work: () => Promise<T>): Promise<{ result: T; facts: RequestFacts }> {
  return runWithRequestState(new WeakMap(), async () => {
    const result = await work()
    return { result, facts: await state.get() }
  })
}
