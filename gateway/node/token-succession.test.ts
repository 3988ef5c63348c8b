/** Issuers follow the policy: the same are kept, others take their place, and those before are closed when nobody can still be asking. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Config } from './config-file.ts'
import type { OpenTokens } from './token-issuers.ts'
import { tokenSuccession } from './token-succession.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const tokensOf = (issuer: string) => ({ ci: { issuer } }) as unknown as Config['tokens']

function opener() {
  const closed: string[] = []
  const open = async (tokens: Config['tokens']): Promise<OpenTokens> => {
    const name = tokens.ci!.issuer
    if (name === 'broken') throw new Error('no such issuer')
    const verifier = { verifyToken: () => Promise.reject(new Error(name)) }
    return { verifier, status: () => [], close: async () => void closed.push(name) }
  }
  return { closed, open }
}

test('[FR-046] the same issuers are kept, and those that were replaced close later, or with the gateway', async () => {
  const { closed, open } = opener()
  const succession = await tokenSuccession(tokensOf('a'), open)
  const first = succession.current
  expect(await succession.prepare(tokensOf('a'))).toBe(first)
  const second = await succession.prepare(tokensOf('b'))
  expect(succession.current).toBe(first)
  succession.succeed(second)
  expect([succession.current, closed]).toEqual([second, []])
  succession.succeed(second)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(closed).toEqual(['a'])
  succession.succeed(await succession.prepare(tokensOf('c')))
  await succession.close()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(closed.toSorted()).toEqual(['a', 'b', 'c'])
})

test('[FR-046] issuers that cannot be opened change nothing', async () => {
  const { closed, open } = opener()
  const succession = await tokenSuccession(tokensOf('a'), open)
  const first = succession.current
  await expect(succession.prepare(tokensOf('broken'))).rejects.toThrow('no such issuer')
  expect([succession.current, closed]).toEqual([first, []])
})
