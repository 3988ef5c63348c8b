/** Seals and the keys behind them: one purpose, one time, one key for each use. */

import { expect, test } from 'vitest'
import { primitives } from '../node/crypto.ts'
import { createSealer } from './sealer.ts'
import { deriveKeys } from './secrets.ts'

const OLD = 'an old secret that is long enough to be one'
const NEW = 'a new secret that is long enough to be one'
const sealerOf = (...secrets: string[]) => createSealer(primitives, deriveKeys(primitives, secrets).seal)
const NOW_MS = 1_800_000_000_000
const sealer = sealerOf(NEW)

test('[FR-019] what was sealed is opened, whatever is in it', async () => {
  for (const text of ['/books?q=1&r=2', '', '/é%20/日本', 'a.b.c']) {
    expect(await sealer.open('return', await sealer.seal('return', text, NOW_MS + 1000), NOW_MS)).toBe(text)
  }
})

test('[FR-019] a seal is for one purpose and one time, and of our making', async () => {
  const sealed = await sealer.seal('return', '/books', NOW_MS + 1000)
  expect(await sealer.open('invite', sealed, NOW_MS)).toBeNull()
  expect(await sealer.open('return', sealed, NOW_MS + 1000)).toBeNull()
  expect(await sealerOf(OLD).open('return', sealed, NOW_MS)).toBeNull()
  const [expiry, text, mac] = sealed.split('.') as [string, string, string]
  const later = (NOW_MS + 9_000_000).toString(36)
  const other = Buffer.from('/admin').toString('base64url')
  for (const forged of [
    `${later}.${text}.${mac}`,
    `${expiry}.${other}.${mac}`,
    `${expiry}.${text}.`,
    `${expiry}.${text}`,
    `${sealed}.`,
    `${sealed}=`,
    '',
    '..',
  ]) {
    expect(await sealer.open('return', forged, NOW_MS), forged).toBeNull()
  }
})

test('[FR-025] after a rotation what the old secret sealed is still opened, and new seals need the new one', async () => {
  const rotated = sealerOf(NEW, OLD)
  expect(await rotated.open('return', await sealerOf(OLD).seal('return', '/a', NOW_MS + 1), NOW_MS)).toBe('/a')
  const fresh = await rotated.seal('return', '/a', NOW_MS + 1)
  expect(await sealerOf(OLD).open('return', fresh, NOW_MS)).toBeNull()
  expect(await sealerOf(NEW).open('return', fresh, NOW_MS)).toBe('/a')
})

test('[FR-025] each use of a secret has a key of its own, and a position in the list changes none of them', () => {
  const alone = deriveKeys(primitives, [OLD])
  const second = deriveKeys(primitives, [NEW, OLD])
  expect(second.provider[1]).toEqual(alone.provider[0])
  expect(second.seal[1]).toEqual(alone.seal[0])
  const all = [alone.seal[0], alone.keyEncryption[0], Buffer.from(alone.provider[0]!.value, 'base64url')]
  expect(new Set(all.map((key) => Buffer.from(key!).toString('hex'))).size).toBe(3)
  expect(second.provider[0]!.version).not.toBe(second.provider[1]!.version)
})

test('[FR-025] a short secret, or none, is refused', () => {
  expect(() => deriveKeys(primitives, [])).toThrow()
  expect(() => deriveKeys(primitives, [NEW, 'short'])).toThrow(/32/)
})
