/** `postern keys`: makes, lists and ends API keys. A key's text goes to standard output once; only its hash is stored. */

import { duration, rate } from '../config/units.ts'
import type { ApiKeyRow } from '../identity-provider/api-key-rows.ts'
import type { OpenIdentityProvider } from '../identity-provider/provider.ts'
import { readPolicyFile } from '../node/config-file.ts'
import { jsonJournal } from '../node/journal.ts'
import { type Opened, openAll } from '../node/open.ts'
import { startupError } from '../node/startup-error.ts'
import { audited } from './audited.ts'
import { configFile } from './settings.ts'

interface StoreOptions {
  readonly config?: string
  readonly data: string
}

export interface CreateKeyOptions extends StoreOptions {
  readonly owner: string
  readonly name: string
  readonly scope?: readonly string[]
  readonly expires?: string
  readonly limit?: string
  readonly json?: boolean
}

export interface ListKeysOptions extends StoreOptions {
  readonly owner?: string
  readonly json?: boolean
}

const EXPIRES = duration(1000, 3650 * 86_400_000)
const LIMIT = rate()

export async function createKey(options: CreateKeyOptions): Promise<void> {
  const lifeMs = options.expires === undefined ? null : read(EXPIRES.safeParse(options.expires), '--expires')
  const limit = options.limit === undefined ? null : read(LIMIT.safeParse(options.limit), '--limit')
  await withStores(options, async (opened) => {
    const { config, identity } = opened
    if (config.keys === undefined) {
      throw startupError(
        'This policy takes no API keys. Add `keys: {}` to it, and `with: [key]` to the routes they are for.',
      )
    }
    const ownerId = await findOwner(identity, options.owner)
    const { name, scope: scopes = [] } = options
    const expiresAtMs = lifeMs === null ? null : Date.now() + lifeMs
    const wanted = { ownerId, name, scopes, expiresAtMs, rate: limit }
    const create = () => identity.apiKeys.create(wanted)
    const made = await audited(opened, 'create key', `subject:${ownerId}`, create, ({ id }) =>
      `key:${id} ${scopes.join(' ')}`.trim(),
    ).catch(explain)
    if (options.json === true) {
      print(
        JSON.stringify({ ...made, header: config.keys.header, ownerId, name, scopes, expiresAt: isoOf(expiresAtMs) }),
      )
      return
    }
    print(made.key)
    process.stderr.write(`made key ${made.id}. It is shown this once: send it as ${config.keys.header}.\n`)
  })
}

export async function listKeys(options: ListKeysOptions): Promise<void> {
  await withStores(options, async ({ identity }) => {
    const ownerId = options.owner === undefined ? null : await findOwner(identity, options.owner)
    const rows = await identity.apiKeys.list(ownerId)
    if (options.json === true) print(JSON.stringify(rows.map(shown)))
    else for (const row of rows) print(lineOf(row))
  })
}

export async function revokeKey(id: string, options: StoreOptions): Promise<void> {
  await withStores(options, async (opened) => {
    const end = () => opened.identity.apiKeys.revoke(id)
    if (!(await audited(opened, 'revoke key', `key:${id}`, end, (isDone) => (isDone ? '' : 'no such key')))) {
      throw startupError(`There is no key ${JSON.stringify(id)}. \`postern keys list\` shows the ids.`)
    }
    print(`revoked key ${id}`)
  })
}

async function withStores(options: StoreOptions, work: (opened: Opened) => Promise<void>): Promise<void> {
  const policy = readPolicyFile(configFile(options.config))
  const journal = jsonJournal(2)
  const opened = await openAll({ policy, env: process.env, dataDir: options.data, journal, isCommand: true })
  try {
    await work(opened)
  } finally {
    await opened.close()
  }
}

/** An id never holds an `@`. */
async function findOwner({ users, directory }: OpenIdentityProvider, owner: string): Promise<string> {
  const found = owner.includes('@') ? await users.findByEmail(owner) : await directory.find(owner)
  if (found === null) throw startupError(`There is no user ${JSON.stringify(owner)}. Name one by e-mail or id.`)
  return found.id
}

function shown(row: ApiKeyRow) {
  const { id, ownerId, name, scopes, rate, isEnabled } = row
  const [createdAt, expiresAt] = [isoOf(row.createdAtMs), isoOf(row.expiresAtMs)]
  return { id, ownerId, name, scopes, rate, isEnabled, createdAt, expiresAt }
}

function lineOf(row: ApiKeyRow): string {
  const state = !row.isEnabled ? 'disabled' : row.expiresAtMs === null ? 'no end' : `until ${isoOf(row.expiresAtMs)}`
  return [
    row.id,
    `owner ${row.ownerId}`,
    JSON.stringify(row.name ?? ''),
    `scopes ${row.scopes.join(',') || '-'}`,
    state,
  ].join('  ')
}

function isoOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}

function read<T>(
  parsed: { success: true; data: T } | { success: false; error: { issues: { message: string }[] } },
  option: string,
): T {
  if (parsed.success) return parsed.data
  throw startupError(`${option}: ${parsed.error.issues[0]?.message ?? 'not understood'}.`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** What no key can have is the operator's to mend; anything else is a fault. */
function explain(error: unknown): never {
  throw error instanceof RangeError ? startupError(`${error.message}.`, error) : error
}
