/** `postern admin create`: the first admin of a gateway. The password comes by standard input, so no process list shows it. */

import { text } from 'node:stream/consumers'
import { readPolicyFile } from '../node/config-file.ts'
import { jsonJournal } from '../node/journal.ts'
import { openAll } from '../node/open.ts'
import { startupError } from '../node/startup-error.ts'
import { audited } from './audited.ts'
import { configFile } from './settings.ts'

export interface AdminOptions {
  readonly email: string
  readonly name?: string
  readonly config?: string
  readonly data: string
}

const EMAIL = /^[^\s@]+@[^\s@]+$/

export async function createAdmin(options: AdminOptions): Promise<void> {
  const { email } = options
  if (!EMAIL.test(email)) throw startupError(`${JSON.stringify(email)} is not an e-mail address.`)
  const password = (await text(process.stdin)).replace(/\r?\n$/, '')
  if (password === '') throw startupError('No password came by standard input.')
  const policy = readPolicyFile(configFile(options.config))
  const journal = jsonJournal(2)
  const opened = await openAll({ policy, env: process.env, dataDir: options.data, journal, isCommand: true })
  try {
    const { users } = opened.identity
    if ((await users.findByEmail(email)) !== null)
      throw startupError(`There is a user with the e-mail ${email} already.`)
    const wanted = { email, password, name: options.name ?? email, roles: ['admin'] }
    const create = () => users.create(wanted)
    const id = await audited(opened, 'create admin', `user:${email}`, create, (made) => `subject:${made}`).catch(
      explain,
    )
    process.stdout.write(`made ${email} (${id}), role admin\n`)
  } finally {
    await opened.close()
  }
}

function explain(error: unknown): never {
  throw startupError(error instanceof Error ? error.message : String(error), error)
}
