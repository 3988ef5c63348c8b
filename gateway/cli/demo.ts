/**
 * The demo's users and what to try with them. Their passwords are random, shown once, and only ever to a terminal or in a
 * file that its owner alone can read (SECURITY rule 30).
 */

import { randomInt } from 'node:crypto'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunningGateway } from '../node/main.ts'

const PEOPLE = [
  { email: 'admin@example.com', name: 'Demo Admin', roles: ['admin', 'editor'] },
  { email: 'user@example.com', name: 'Demo User', roles: ['user'] },
] as const

/** Makes the users that are missing, and returns what to print. */
export async function prepareDemo(
  { origin, users }: RunningGateway,
  dataDir: string,
  isTerminal: boolean,
): Promise<string> {
  const made: string[] = []
  for (const { email, name, roles } of PEOPLE) {
    if ((await users.findByEmail(email)) !== null) continue
    const password = newPassword()
    await users.create({ email, name, roles, password })
    made.push(`${email.padEnd(20)} ${password}`)
  }
  return `${[`Postern is running on ${origin}`, '', ...peopleLines(made, dataDir, isTerminal), '', ...tryLines(origin)].join('\n')}\n`
}

function peopleLines(made: readonly string[], dataDir: string, isTerminal: boolean): string[] {
  const file = join(dataDir, 'demo.txt')
  if (made.length === 0) {
    return [`The demo users are those of the first start. Remove the folder ${dataDir} to begin again.`]
  }
  if (isTerminal) return ['Demo users (their passwords are shown this once):', ...made.map((line) => `  ${line}`)]
  mkdirSync(dataDir, { recursive: true, mode: 0o700 }) // a database elsewhere has made no folder here
  writeFileSync(file, `${made.join('\n')}\n`, { mode: 0o600 })
  chmodSync(file, 0o600) // `mode` speaks only for a file that is new
  return [`Demo users and their passwords are in ${file}.`]
}

function tryLines(origin: string): string[] {
  return [
    'Try in a browser:',
    `  ${origin}/                   the Books app, which has no sign-in of its own`,
    `  ${origin}/_postern/sign-in   sign in, or make an account`,
    `  ${origin}/api/whoami         what the app is told about you`,
    'Try with curl:',
    `  curl -i ${origin}/api/whoami                              # nobody is refused: 401`,
    `  curl -s -H 'X-Forwarded-User: mallory' ${origin}/ | grep 'not signed in'   # a forged name never arrives`,
    'Ctrl-C stops it.',
  ]
}

/** Letters and digits that cannot be taken for each other; about 103 bits. */
const ALPHABET = 'abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'
const PASSWORD_CHARS = 18

function newPassword(): string {
  return Array.from({ length: PASSWORD_CHARS }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
}
