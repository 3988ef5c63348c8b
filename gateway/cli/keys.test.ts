/** `postern keys` as an operator types it, on a data folder of its own. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { command, commandAlone } from '../test/support/command.ts'

const POLICY = `
version: 1
origin: http://localhost:8080
keys: { prefix: bk_ }
upstreams: { books: "http://127.0.0.1:9000" }
routes:
  /**: { to: books, access: { with: [key] } }
`

let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-keys-'))
  writeFileSync(join(folder, 'gateway.yaml'), POLICY)
  writeFileSync(join(folder, 'keyless.yaml'), POLICY.replace(/^keys.*$/m, '').replace('{ with: [key] }', 'login'))
  const made = await postern(
    'gateway.yaml',
    ['admin', 'create', '--email', 'ada@example.com', '--password-stdin'],
    commandAlone,
  )
  expect(made.status, made.stderr).toBe(0)
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('[FR-031] a key is made, listed without its text, and revoked once', async () => {
  const wanted = ['--owner', 'ada@example.com', '--name', 'nightly', '--scope', 'a', '--scope', 'b', '--expires', '90d']
  const made = await postern('gateway.yaml', ['keys', 'create', ...wanted, '--limit', '100/min'], commandAlone)
  expect(made.stdout).toMatch(/^bk_[A-Za-z]{64}\n$/)
  expect(made.stderr).not.toContain(made.stdout.trim().slice(3))
  const listed = await keys('list', '--owner', 'ada@example.com', '--json')
  expect(listed.stdout).not.toContain(made.stdout.trim().slice(8))
  const [row] = JSON.parse(listed.stdout) as { id: string }[]
  const rate = { burst: 100, intervalMs: 600 }
  expect(row).toMatchObject({ name: 'nightly', scopes: ['a', 'b'], rate, isEnabled: true })
  expect((await keys('revoke', row!.id)).status).toBe(0)
  expect(await keys('revoke', row!.id)).toMatchObject({ status: 1, stdout: '' })
  expect(JSON.parse((await keys('list', '--json')).stdout)).toEqual([])
}, 60_000)

const refused = [
  ['an owner nobody knows', ['--owner', 'bob@example.com', '--name', 'x'], /There is no user/],
  ['a duration without a unit', ['--owner', 'ada@example.com', '--name', 'x', '--expires', '90'], /--expires: .*unit/],
  ['a rate that is none', ['--owner', 'ada@example.com', '--name', 'x', '--limit', 'many'], /--limit: .*rate/],
  ['a scope with a blank', ['--owner', 'ada@example.com', '--name', 'x', '--scope', 'a b'], /no scope can be/],
] as const
for (const [what, options, message] of refused) {
  test(`[FR-031] ${what} is refused, in words`, async () => {
    const { status, stdout, stderr } = await keys('create', ...options)
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr).not.toContain('    at ')
  })
}

test('[FR-031] a policy without keys makes none, and says what to add', async () => {
  const { status, stderr } = await postern('keyless.yaml', [
    'keys',
    'create',
    '--owner',
    'ada@example.com',
    '--name',
    'x',
  ])
  expect(status).toBe(1)
  expect(stderr).toContain('Add `keys: {}`')
})

function keys(...options: readonly string[]) {
  return postern('gateway.yaml', ['keys', ...options])
}

function postern(policy: string, options: readonly string[], run = command) {
  const stores = ['--config', join(folder, policy), '--data', join(folder, 'data')]
  return run([...options, ...stores], { input: 'a long enough password\n' })
}

test('[FR-037] what the command line makes and ends is on record, without a secret', async () => {
  const wanted = ['--owner', 'ada@example.com', '--name', 'recorded', '--scope', 'admin', '--scope', 'b', '--json']
  const made = await keys('create', ...wanted)
  const { id, key } = JSON.parse(made.stdout) as { id: string; key: string }
  const ended = await keys('revoke', id)
  expect(ended.status).toBe(0)
  expect(ended.stderr).toContain(`"target":"key:${id}"`)
  expect(made.stderr + ended.stderr).not.toContain(key)
  const database = new DatabaseSync(join(folder, 'data', 'postern.db'), { readOnly: true })
  const rows = database.prepare('select actor, action, target, outcome, detail from postern_audit order by at_ms').all()
  database.close()
  expect(rows.map((row) => ({ ...row }))).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        actor: 'cli',
        action: 'create admin',
        target: 'user:ada@example.com',
        outcome: 'done',
      }),
      expect.objectContaining({ actor: 'cli', action: 'create key', outcome: 'done', detail: `key:${id} admin b` }),
      expect.objectContaining({ actor: 'cli', action: 'revoke key', target: `key:${id}`, outcome: 'done' }),
    ]),
  )
  expect(JSON.stringify(rows)).not.toContain(key)
}, 60_000)
