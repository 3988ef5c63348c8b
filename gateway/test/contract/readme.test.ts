/** What README.md shows is real: its policy loads, and its presets are those there are. */

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compile } from '../../config/compile.ts'
import { parsePolicy } from '../../config/parse.ts'
import { DIALECTS } from '../../transform/identity.ts'
import { fences, ROOT, read, tableUnder } from './documents.ts'

const readme = read('README.md')
const MAIN = join(ROOT, 'gateway/cli/main.ts')

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

test('[FR-027] every command in README.md is one of package.json or of the gateway, with options it has', () => {
  const commands = fences(readme, 'sh').flatMap((block) => block.trim().split('\n'))
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const command of commands) {
    const script = /^npm (\w+)$/.exec(command)?.[1]
    if (command.startsWith('postern ')) expect(unknownIn(command.split('#')[0]!.trim()), command).toEqual([])
    else expect(script === undefined ? command.startsWith('curl ') : script in scripts, command).toBe(true)
  }
})

/** Words of a command line that the help of the command does not name. */
function unknownIn(command: string): readonly string[] {
  const [, first = '', second = '', ...rest] = command.split(/\s+/)
  const isGroup = ['admin', 'keys'].includes(first)
  const help = execFileSync(process.execPath, [MAIN, first, ...(isGroup ? [second] : []), '--help'], {
    encoding: 'utf8',
  })
  // A word after these is a choice that the help lists; after other commands it is a name or a file.
  const isChoice = ['revoke', 'import'].includes(first)
  const wanted = [second, ...rest].filter((word) => word.startsWith('--') || (isChoice && word === second))
  return wanted.filter((word) => !help.includes(word))
}
