/** What README.md shows is real: its policy loads, and its presets are those there are. */

import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { compile } from '../../config/compile.ts'
import { parsePolicy } from '../../config/parse.ts'
import { DIALECTS } from '../../transform/identity.ts'
import { command } from '../support/command.ts'
import { fences, read, tableUnder } from './documents.ts'

const readme = read('README.md')

/** Values of the kind that each variable holds where README.md has it set. */
const ENVIRONMENT: Record<string, string> = {
  DATABASE_URL: 'postgres://127.0.0.1/books',
  REDIS_URL: 'redis://127.0.0.1:6379',
  POSTERN_SECRET: randomBytes(48).toString('base64'),
}

test('[FR-013] the page of configuration in README.md loads and compiles', () => {
  const [text] = fences(readme, 'yaml')
  const parsed = parsePolicy(text!, { file: 'README.md', readEnv: (name) => ENVIRONMENT[name], readFile: () => '' })
  if ('issues' in parsed) throw new Error(JSON.stringify(parsed.issues, null, 2))
  expect(compile(parsed.config, 'test', parsed.places)).toHaveProperty('snapshot')
})

test('[FR-007] the presets in README.md are those that can be written', () => {
  const rows = tableUnder(readme, '### Identity for the application').map(([name]) => name!.split(' ')[0])
  expect(rows.filter((name) => name !== 'a').toSorted()).toEqual(Object.keys(DIALECTS).toSorted())
})

test('[FR-027] every command in README.md is one of package.json or of the gateway, with options it has', async () => {
  const commands = fences(readme, 'sh').flatMap((block) => block.trim().split('\n'))
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const line of commands) {
    const script = /^npm (\w+)$/.exec(line)?.[1]
    if (line.startsWith('postern ')) expect(await unknownIn(line.split('#')[0]!.trim()), line).toEqual([])
    else expect(script === undefined ? line.startsWith('curl ') : script in scripts, line).toBe(true)
  }
})

/** Words of a command line that the help of the command does not name. */
async function unknownIn(line: string): Promise<readonly string[]> {
  const [, first = '', second = '', ...rest] = line.split(/\s+/)
  const isGroup = ['admin', 'keys'].includes(first)
  const { stdout: help } = await command([first, ...(isGroup ? [second] : []), '--help'])
  // A word after these is a choice that the help lists; after other commands it is a name or a file.
  const isChoice = ['revoke', 'import'].includes(first)
  const wanted = [second, ...rest].filter((word) => word.startsWith('--') || (isChoice && word === second))
  return wanted.filter((word) => !help.includes(word))
}
