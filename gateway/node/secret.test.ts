/** A secret is explicit wherever stores are shared, strong wherever it is given, and made once where nobody gives one. */

import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { isStrong, newSecret, resolveSecrets } from './secret.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-secret-'))

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('[FR-025] the first run makes a secret that only its owner can read, and later runs keep it', () => {
  const dataDir = join(folder, 'first', 'data')
  const made = resolveSecrets({ given: [], because: null, dataDir })
  expect(made).toHaveLength(1)
  expect(isStrong(made[0]!)).toBe(true)
  expect(statSync(join(dataDir, 'secret')).mode & 0o777).toBe(0o600)
  expect(resolveSecrets({ given: [], because: null, dataDir })).toEqual(made)
  expect(readdirSync(dataDir), 'no draft is left').toEqual(['secret'])
})

test('[FR-025] a secret somebody else began to write is never taken for a secret', () => {
  const dataDir = join(folder, 'broken')
  mkdirSync(dataDir)
  writeFileSync(join(dataDir, 'secret'), 'short\n')
  expect(() => resolveSecrets({ given: [], because: null, dataDir })).toThrow(/does not hold a secret of ours/)
  expect(readFileSync(join(dataDir, 'secret'), 'utf8')).toBe('short\n')
})

test('[FR-025] a data folder that cannot be made is an error that names it', () => {
  const file = join(folder, 'a-file')
  writeFileSync(file, '')
  chmodSync(file, 0o400)
  expect(() => resolveSecrets({ given: [], because: null, dataDir: join(file, 'data') })).toThrow(
    /The secret in .*a-file.* cannot be used/,
  )
})

test('[FR-025] where a secret is required none is made, and the error says why and how to make one', () => {
  const dataDir = join(folder, 'required')
  const needs = { given: [], because: 'the origin is https', dataDir }
  expect(() => resolveSecrets(needs)).toThrow(/because the origin is https.*openssl rand -base64 48.*postern secret/)
  expect(() => statSync(dataDir)).toThrow()
})

for (const [secret, because] of [
  ['a'.repeat(64), 'one character'],
  ['changeme'.repeat(8), 'a word'],
  ['0123456789abcdef0123456789abcdef', 'sixteen bytes in hexadecimal'],
  ['c2l4dGVlbiByYW5kb20gYnl0ZXMh', 'twenty bytes in base64'],
] as const) {
  test(`[FR-025] a weak secret is refused wherever it stands in the list: ${because}`, () => {
    const needs = { given: [newSecret(), secret], because: null, dataDir: folder }
    expect(() => resolveSecrets(needs)).toThrow(/32 random bytes or more/)
    expect(() => resolveSecrets(needs)).not.toThrow(secret)
  })
}

test('[FR-025] given secrets are used as they are, newest first', () => {
  const given = [newSecret(), newSecret()]
  expect(resolveSecrets({ given, because: 'NODE_ENV is production', dataDir: folder })).toEqual(given)
})
