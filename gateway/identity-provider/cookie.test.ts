/** The session cookie: only what we signed is opened, in the spellings clients send. */

import { expect, test } from 'vitest'
import { primitives } from '../node/crypto.ts'
import { cookieCodec } from './cookie.ts'

const KEYS = ['the newest key', 'an older key']
const TOKEN = 'abcdefghijklmnopqrstuvwxyzABCDEF'
const codec = cookieCodec(primitives, KEYS, { name: '__Host-postern.session_token', isSecure: true })
const older = cookieCodec(primitives, [KEYS[1]!], { name: 'postern.session_token', isSecure: false })
const stranger = cookieCodec(primitives, ['somebody else’s key'], { name: 'x', isSecure: false })
const signed = codec.sign(TOKEN)
const plain = decodeURIComponent(signed)

test('[FR-009] a cookie we signed is opened in the two spellings clients send', () => {
  expect(codec.open(signed)).toEqual({ token: TOKEN, isNewest: true })
  expect(codec.open(plain)).toEqual({ token: TOKEN, isNewest: true })
})

test('[FR-025] a cookie signed with an older secret is opened, and known to be old', () => {
  expect(codec.open(older.sign(TOKEN))).toEqual({ token: TOKEN, isNewest: false })
})

test('[FR-009] on https the cookie is bound to host and scheme, and script cannot read it', () => {
  expect(codec.set(TOKEN, 3_600_500)).toBe(
    `__Host-postern.session_token=${signed}; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=Lax`,
  )
  expect(codec.set(TOKEN, null)).not.toContain('Max-Age')
  expect(codec.remove).toBe('__Host-postern.session_token=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax')
})

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const spare = `${plain.slice(0, -2)}${alphabet[alphabet.indexOf(plain.at(-2)!) + 1]}=`
const forged: readonly (readonly [string, string])[] = [
  ['', 'nothing'],
  [TOKEN, 'a bare token'],
  [`${TOKEN}.`, 'no signature'],
  [`${TOKEN}.${'A'.repeat(43)}=`, 'a made-up signature'],
  [stranger.sign(TOKEN), 'another key'],
  [plain.replace('a', 'b'), 'a changed token'],
  [spare, 'the same signature in other spare bits'],
  [plain.replace('=', ''), 'the padding left out'],
  [`${plain} `, 'a space after it'],
  [`.${plain.split('.')[1]}`, 'no token'],
  [`x.${plain}`, 'something before it'],
  [encodeURIComponent(signed), 'encoded twice'],
  [signed.replace('%3D', '%3d'), 'escapes in another case'],
  [`%61${plain.slice(1)}`, 'an escape that encoding would not write'],
  ['%', 'a broken escape'],
  ['%E0%A4%A', 'a broken character'],
  [`${TOKEN}.${'é'.repeat(44)}`, 'what is no text of ours'],
]
for (const [value, because] of forged) {
  test(`[FR-009] a session cookie is not opened: ${because}`, () => {
    expect(codec.open(value)).toBeNull()
  })
}
