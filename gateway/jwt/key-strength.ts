/**
 * Which keys of a set may verify anything (RFC 8725 §3.5, SECURITY rule 25): public, made for signatures, strong, and of a
 * kind that fits an accepted algorithm. Judged once, when the set is read; what is wrong is said in words for an operator.
 */

import { base64url, type JWK } from 'jose'

/** RFC 7518 §3.1 and RFC 8037 §3.1: the kind of key each algorithm needs. What is not here verifies nothing. */
const KIND_OF: Readonly<Record<string, string>> = {
  RS256: 'RSA',
  RS384: 'RSA',
  RS512: 'RSA',
  PS256: 'RSA',
  PS384: 'RSA',
  PS512: 'RSA',
  ES256: 'EC P-256',
  ES384: 'EC P-384',
  ES512: 'EC P-521',
  EdDSA: 'OKP Ed25519',
}

const EC_BYTES: Readonly<Record<string, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 }
const RSA_BITS_MIN = 2048
/** Longer ones make each forged signature cost more than a good one is worth. */
const RSA_BITS_MAX = 8192
const RSA_EXPONENT_BITS_MAX = 32

/** Of a private or symmetric key (RFC 7518 §6). */
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'] as const

/** The accepted algorithms this key may verify, or why it verifies nothing. */
export function judgeKey(
  jwk: JWK,
  accepted: readonly string[],
): { readonly algorithms: readonly string[] } | { readonly fault: string } {
  const fault = faultOf(jwk)
  if (fault !== null) return { fault }
  const kind = kindOf(jwk)
  const algorithms = accepted.filter((alg) => KIND_OF[alg] === kind && (jwk.alg === undefined || jwk.alg === alg))
  return algorithms.length > 0 ? { algorithms } : { fault: 'no accepted algorithm fits it' }
}

function kindOf(jwk: JWK): string {
  return jwk.kty === 'RSA' ? 'RSA' : `${jwk.kty} ${jwk.crv}`
}

function faultOf(jwk: JWK): string | null {
  if (SECRET_MEMBERS.some((name) => Object.hasOwn(jwk, name))) return 'it is private or symmetric'
  if (jwk.use !== undefined && jwk.use !== 'sig') return 'its `use` is not `sig`'
  if (jwk.key_ops !== undefined && !(Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify'))) {
    return 'its `key_ops` leave out `verify`'
  }
  if (jwk.kid !== undefined && (typeof jwk.kid !== 'string' || jwk.kid.length > KID_CHARS_MAX)) {
    return 'its `kid` is not a text of at most 256 characters'
  }
  switch (jwk.kty) {
    case 'RSA':
      return rsaFault(jwk)
    case 'EC':
      return ecFault(jwk)
    case 'OKP':
      return ed25519Fault(jwk)
    default:
      return 'its `kty` is neither RSA, EC nor OKP'
  }
}

export const KID_CHARS_MAX = 256

function rsaFault(jwk: JWK): string | null {
  const modulus = numberOf(jwk.n, RSA_BITS_MAX)
  const exponent = numberOf(jwk.e, RSA_EXPONENT_BITS_MAX)
  if (modulus === null || exponent === null)
    return `its numbers are missing, misspelt or larger than ${RSA_BITS_MAX} bits`
  if (modulus.toString(2).length < RSA_BITS_MIN) return `it has fewer than ${RSA_BITS_MIN} bits`
  // With exponent 1 a signature is its own message; an even exponent or modulus is no RSA at all.
  if (exponent < 3n || exponent % 2n === 0n || modulus % 2n === 0n) return 'its exponent or modulus is no RSA number'
  return isOfInfineon(modulus) ? 'it can be factored (ROCA, CVE-2017-15361)' : null
}

function ecFault(jwk: JWK): string | null {
  const bytes = EC_BYTES[jwk.crv ?? '']
  if (bytes === undefined) return 'its curve is not P-256, P-384 or P-521'
  // That the point lies on the curve is checked where the key is imported.
  return bytesOf(jwk.x)?.length === bytes && bytesOf(jwk.y)?.length === bytes
    ? null
    : 'its point is missing or misspelt'
}

function ed25519Fault(jwk: JWK): string | null {
  if (jwk.crv !== 'Ed25519') return 'its curve is not Ed25519'
  const point = bytesOf(jwk.x)
  if (point === null || point.length !== 32) return 'its point is missing or misspelt'
  point[31]! &= 0x7f // the sign, which any of these points may have
  return SMALL_ORDER.has(hexOf(point)) ? 'its point has a small order: signatures of it fit many messages' : null
}

/** Ed25519 points for which one signature verifies many texts, the sign left out, as little-endian y. */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

const ROCA_PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157] as const

/** Per prime, the remainders that a modulus of the flawed generator can have: the powers of 65537. */
const ROCA_REMAINDERS: readonly (readonly [bigint, ReadonlySet<number>])[] = ROCA_PRIMES.map((prime) => {
  const powers = new Set<number>()
  for (let power = 1; !powers.has(power); power = (power * (65537 % prime)) % prime) powers.add(power)
  return [BigInt(prime), powers] as const
})

/** The fingerprint of Nemec et al. (2017): a sound key has it by chance once in some hundred million. */
function isOfInfineon(modulus: bigint): boolean {
  return ROCA_REMAINDERS.every(([prime, powers]) => powers.has(Number(modulus % prime)))
}

/** Canonical base64url alone: one key has one text. */
function bytesOf(text: unknown): Uint8Array | null {
  if (typeof text !== 'string' || !/^[A-Za-z0-9_-]+$/.test(text)) return null
  try {
    const bytes = base64url.decode(text)
    return base64url.encode(bytes) === text ? bytes : null
  } catch {
    return null
  }
}

function numberOf(text: unknown, bitsMax: number): bigint | null {
  if (typeof text !== 'string' || text.length > bitsMax / 4) return null
  const bytes = bytesOf(text)
  if (bytes === null) return null
  const value = BigInt(`0x${hexOf(bytes)}`)
  return value.toString(2).length <= bitsMax ? value : null
}

function hexOf(bytes: Uint8Array): string {
  let hex = ''
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0')
  return hex
}
