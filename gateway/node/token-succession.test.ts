/** Issuers follow the policy: the same are kept, others take their place, and the last ones are closed with the gateway. */

import { expect, test } from 'vitest'
import type { Config } from './config-file.ts'
import type { OpenTokens } from './token-issuers.ts'
import { tokenSuccession } from './token-succession.ts'

const tokensOf = (issuer: string) => ({ ci: { issuer } }) as unknown as Config['tokens']

function opener() {
  const said: string[] = []
  const names = new Map<OpenTokens | null, string>([[null, 'nobody']])
  const open = async (tokens: Config['tokens'], before: OpenTokens | null): Promise<OpenTokens> => {
    const name = tokens.ci!.issuer
    if (name === 'broken') throw new Error('no such issuer')
    said.push(`${name} after ${names.get(before)}`)
    const opened = {
      retire: (next: OpenTokens) => said.push(`${name} before ${names.get(next)}`),
      close: async () => void said.push(`${name} closed`),
    } as unknown as OpenTokens
    names.set(opened, name)
    return opened
  }
  return { said, open }
}

test('[FR-046] the same issuers are kept, and those that are replaced retire at once', async () => {
  const { said, open } = opener()
  const succession = await tokenSuccession(tokensOf('a'), open)
  const first = succession.current
  expect(await succession.prepare(tokensOf('a'))).toBe(first)
  const second = await succession.prepare(tokensOf('b'))
  expect(succession.current).toBe(first)
  succession.succeed(second)
  expect(succession.current).toBe(second)
  succession.succeed(second)
  await succession.close()
  expect(said).toEqual(['a after nobody', 'b after a', 'a before b', 'b closed'])
})

test('[FR-046] issuers that cannot be opened change nothing', async () => {
  const { said, open } = opener()
  const succession = await tokenSuccession(tokensOf('a'), open)
  const first = succession.current
  await expect(succession.prepare(tokensOf('broken'))).rejects.toThrow('no such issuer')
  expect([succession.current, said]).toEqual([first, ['a after nobody']])
})
