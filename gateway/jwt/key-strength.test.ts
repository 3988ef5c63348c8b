/** Keys that must never verify anything, whoever publishes them (RFC 8725 §3.5), and that the others still serve. */

import { base64url, exportJWK, generateKeyPair, type JWK } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { matchKeys, readKeySet } from './key-set.ts'
import { judgeKey } from './key-strength.ts'

const ALL = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
const keys: Record<string, JWK> = {}
const secrets: Record<string, JWK> = {}

beforeAll(async () => {
  for (const alg of ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
    keys[alg] = await exportJWK(publicKey)
    secrets[alg] = await exportJWK(privateKey)
  }
})

describe('good keys', () => {
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['RS256', ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']],
    ['ES256', ['ES256']],
    ['ES384', ['ES384']],
    ['ES512', ['ES512']],
    ['EdDSA', ['EdDSA']],
  ]
  for (const [alg, algorithms] of rows) {
    test(`[FR-029] a key made for ${alg} verifies ${algorithms.join(', ')}, or the one it names, or nothing`, async () => {
      expect(judgeKey(keys[alg]!, ALL)).toEqual({ algorithms })
      expect(judgeKey({ ...keys[alg]!, alg }, ALL)).toEqual({ algorithms: [alg] })
      expect(judgeKey({ ...keys[alg]!, alg: 'HS256' }, ALL)).toHaveProperty('fault')
      expect(judgeKey(keys[alg]!, ['HS256'])).toHaveProperty('fault')
      const set = await readKeySet({ keys: [{ ...keys[alg]!, use: 'sig', key_ops: ['verify'] }] }, ALL)
      expect(set?.refused).toEqual([])
      expect([...set!.keys[0]!.byAlgorithm.keys()]).toEqual(algorithms)
    })
  }
})

const number = (value: bigint) => {
  const hex = value.toString(16)
  return base64url.encode(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'))
}
/** 2^2048 less something: as long as a good modulus, and odd. */
const LONG = (1n << 2048n) - 159n
/** 65537^1234 modulo the product of the first primes, raised to 2048 bits by whole multiples of it. */
function flawedModulus(): bigint {
  let product = 1n
  for (const prime of [2n, 3n, 5n, 7n, 11n, 13n, 17n, 19n, 23n, 29n, 31n, 37n, 41n, 43n, 47n, 53n, 59n, 61n, 67n, 71n])
    product *= prime
  for (const prime of [73n, 79n, 83n, 89n, 97n, 101n, 103n, 107n, 109n, 113n, 127n, 131n, 137n, 139n, 149n, 151n, 157n])
    product *= prime
  let power = 1n
  for (let at = 0; at < 1234; at += 1) power = (power * 65537n) % product
  return power + product * ((1n << 2047n) / product + 2n)
}

const weak: readonly (readonly [string, RegExp, () => unknown])[] = [
  ['symmetric', /symmetric/, () => ({ kty: 'oct', k: 'c2VjcmV0' })],
  ['a private RSA key', /private/, () => secrets['RS256']],
  ['a private EC key', /private/, () => secrets['ES256']],
  ['a private Ed25519 key', /private/, () => secrets['EdDSA']],
  ['for encryption', /use/, () => ({ ...keys['RS256'], use: 'enc' })],
  ['for something else by key_ops', /key_ops/, () => ({ ...keys['ES256'], key_ops: ['encrypt'] })],
  ['with key_ops of another type', /key_ops/, () => ({ ...keys['ES256'], key_ops: 'verify' })],
  ['with a kid of another type', /kid/, () => ({ ...keys['ES256'], kid: 7 })],
  ['with an endless kid', /kid/, () => ({ ...keys['ES256'], kid: 'k'.repeat(257) })],
  ['RSA of 1024 bits', /fewer/, () => ({ kty: 'RSA', n: number((1n << 1024n) - 105n), e: 'AQAB' })],
  ['RSA of 2047 bits', /fewer/, () => ({ kty: 'RSA', n: number((1n << 2047n) - 19n), e: 'AQAB' })],
  ['RSA of 16384 bits', /larger/, () => ({ kty: 'RSA', n: number((1n << 16384n) - 1n), e: 'AQAB' })],
  ['RSA with exponent 1', /exponent/, () => ({ kty: 'RSA', n: number(LONG), e: 'AQ' })],
  ['RSA with exponent 0', /exponent/, () => ({ kty: 'RSA', n: number(LONG), e: 'AA' })],
  ['RSA with an even exponent', /exponent/, () => ({ kty: 'RSA', n: number(LONG), e: 'Ag' })],
  ['RSA with exponent 4', /exponent/, () => ({ kty: 'RSA', n: number(LONG), e: 'BA' })],
  ['RSA with an even modulus', /exponent/, () => ({ kty: 'RSA', n: number(LONG - 1n), e: 'AQAB' })],
  ['RSA with a huge exponent', /larger/, () => ({ kty: 'RSA', n: number(LONG), e: number((1n << 64n) + 1n) })],
  ['RSA without a modulus', /missing/, () => ({ kty: 'RSA', e: 'AQAB' })],
  ['RSA in another alphabet', /misspelt/, () => ({ kty: 'RSA', n: `${number(LONG)}=`, e: 'AQAB' })],
  ['RSA of a flawed generator', /ROCA/, () => ({ kty: 'RSA', n: number(flawedModulus()), e: 'AQAB' })],
  ['on secp256k1', /curve/, () => ({ ...keys['ES256'], crv: 'secp256k1' })],
  ['on another curve than its point', /misspelt/, () => ({ ...keys['ES256'], crv: 'P-384' })],
  ['without y', /missing/, () => ({ kty: 'EC', crv: 'P-256', x: keys['ES256']!.x })],
  ['off its curve', /imported/, () => ({ ...keys['ES256'], x: keys['ES256']!.y, y: keys['ES256']!.x })],
  ['with a point in a second spelling', /misspelt/, () => ({ ...keys['ES256'], x: respelt(keys['ES256']!.x!) })],
  ['on X25519', /curve/, () => ({ ...keys['EdDSA'], crv: 'X25519' })],
  ['an Ed25519 point of order 1', /order/, () => ed25519(`01${'00'.repeat(31)}`)],
  ['the same, with its sign', /order/, () => ed25519(`01${'00'.repeat(30)}80`)],
  [
    'an Ed25519 point of order 8',
    /order/,
    () => ed25519('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'),
  ],
  ['of a kind nobody knows', /kty/, () => ({ kty: 'AKP', alg: 'ML-DSA-44', pub: 'AAAA' })],
  ['no object', /object/, () => 'key'],
  ['null', /object/, () => null],
]

/** The last character of 32 bytes has two bits to spare. */
function respelt(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1)!) + 1]
}

function ed25519(hex: string): JWK {
  return { kty: 'OKP', crv: 'Ed25519', x: base64url.encode(Buffer.from(hex, 'hex')) }
}

describe('a key that is left out', () => {
  for (const [what, fault, make] of weak) {
    test(`[FR-029] ${what}: it is named, and the good one beside it serves`, async () => {
      const set = await readKeySet({ keys: [make(), { ...keys['ES256'], kid: 'good' }] }, ALL)
      expect(set?.keys.map(({ kid }) => kid)).toEqual(['good'])
      expect(set?.refused).toHaveLength(1)
      expect(set?.refused[0]).toMatch(fault)
      expect(set?.refused[0]).not.toContain('c2VjcmV0')
    })
  }

  test('[FR-029] what is no key set is none', async () => {
    for (const set of [null, [], 'keys', {}, { keys: {} }, { keys: 'x' }]) expect(await readKeySet(set, ALL)).toBeNull()
  })

  test('[FR-029] a set without end costs a bounded amount of work', async () => {
    const many = Array.from({ length: 100 }, (_, at) => ({ ...keys['ES256'], kid: `k${at}` }))
    const set = await readKeySet({ keys: many }, ALL)
    expect(set?.keys).toHaveLength(64)
    expect(set?.refused.join()).toContain('36 keys beyond')
    const same = await readKeySet({ keys: many.map((key) => ({ ...key, kid: 'one' })) }, ALL)
    expect(same?.keys).toHaveLength(4)
  })
})

describe('which key a token may have been signed with', () => {
  test('[FR-029] by kid; without one, exactly one must fit', async () => {
    const set = (await readKeySet(
      {
        keys: [
          { ...keys['ES256'], kid: 'a' },
          { ...keys['ES384'], kid: 'b' },
          { ...keys['RS256'], kid: 'b' },
        ],
      },
      ALL,
    ))!
    const kidsOf = (alg: string, kid: string | null) => {
      const match = matchKeys(set, alg, kid)
      return typeof match === 'string' ? match : match.map((key) => key.kid)
    }
    expect(kidsOf('ES256', 'a')).toEqual(['a'])
    expect(kidsOf('ES384', 'b')).toEqual(['b'])
    expect(kidsOf('RS256', 'a')).toBe('wrong-algorithm')
    expect(kidsOf('ES256', 'c')).toBe('unknown-kid')
    expect(kidsOf('ES256', '')).toBe('unknown-kid')
    expect(kidsOf('ES256', null)).toEqual(['a'])
    expect(kidsOf('EdDSA', null)).toBe('unknown-kid')
    const twice = (await readKeySet({ keys: [keys['ES256'], { ...keys['ES256'], kid: 'a' }] }, ALL))!
    expect(matchKeys(twice, 'ES256', null)).toBe('ambiguous')
  })
})
