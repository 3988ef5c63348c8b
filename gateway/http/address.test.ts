/** Addresses in one spelling each, and whom we trust. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileNetworks, parseAddress, parseCidr, parseCidrs, parseForwardedAddress } from './address.ts'

const spellings = [
  ['127.0.0.1', '127.0.0.1'],
  ['::ffff:127.0.0.1', '127.0.0.1'],
  ['::FFFF:7f00:1', '127.0.0.1'],
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['::1', '::1'],
  ['010.0.0.1', null],
  ['0x7f.0.0.1', null],
  ['::ffff:010.0.0.1', null],
  ['::ffff:0x7f.0.0.1', null],
  ['::10.0.0.1', null],
  ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
  ['127.1', null],
  ['2130706433', null],
  ['1.2.3.4.5', null],
  ['1.2.3.', null],
  ['256.0.0.1', null],
  ['1.2.3.4 ', null],
  ['localhost', null],
  ['', null],
  [':', null],
  ['unknown', null],
  ['1.2.3.4\n', null],
  ['::1\r\nX: y', null],
] as const
for (const [text, address] of spellings) {
  test(`[FR-005] ${JSON.stringify(text)} is ${address ?? 'no address'}`, () => expect(parseAddress(text)).toBe(address))
}

test('[FR-005] no text makes an address that could not stand in a field', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(parseAddress(text) ?? parseForwardedAddress(text) ?? '::').toMatch(/^[0-9a-f:.]+$/)
    }),
  )
})

const forwarded = [
  ['1.2.3.4:5678', '1.2.3.4'],
  ['[2001:db8::1]:5678', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['2001:db8::1', '2001:db8::1'],
  ['[1.2.3.4]', null],
  ['1.2.3.4:x', null],
  ['"1.2.3.4"', null],
  ['_hidden', null],
] as const
for (const [text, address] of forwarded) {
  test(`[FR-005] a proxy's ${text} is ${address ?? 'no address'}`, () =>
    expect(parseForwardedAddress(text)).toBe(address))
}

test('[FR-005] a network is compared in its own family, IPv4 inside IPv6 as IPv4', () => {
  const isTrusted = compileNetworks(['10.0.0.0/8', '2001:db8::/32', '192.0.2.7', '::ffff:172.16.0.0/108'])
  for (const address of ['10.255.0.1', '::ffff:10.0.0.1', '2001:db8:ffff::1', '192.0.2.7', '172.16.9.9']) {
    expect(isTrusted(address), address).toBe(true)
    expect(isTrusted(address), `${address} again`).toBe(true)
  }
  for (const address of ['11.0.0.1', '2001:db9::1', '192.0.2.8', '172.32.0.1', 'unknown', '', '::']) {
    expect(isTrusted(address), address).toBe(false)
  }
})

test('[FR-005] nobody is trusted by an empty list', () => expect(compileNetworks([])('127.0.0.1')).toBe(false))

for (const text of [
  '10.0.0.0/33',
  '10.0.0/8',
  '10.0.0.0/',
  '10.0.0.0/08',
  '::/129',
  'fe80::1%eth0/64',
  '::ffff:1.2.3.4/64',
  'any',
]) {
  test(`[FR-005] ${text} is no network`, () => {
    expect(parseCidr(text)).toBeNull()
    expect(() => parseCidrs(['10.0.0.0/8', text])).toThrow(text)
  })
}
