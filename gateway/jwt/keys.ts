/** ES256 keys (RFC 7517, RFC 7518 §3.4): made, imported and looked up here; a private key never leaves as text unsealed. */

import {
  type CryptoKey,
  calculateJwkThumbprint,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTVerifyGetKey,
} from 'jose'

/** The one algorithm this gateway signs with and accepts. An allow-list, so a token never chooses its own. */
export const ALGORITHM = 'ES256'

/** RFC 7517 §5. */
export interface JsonWebKeySet {
  readonly keys: readonly object[]
}

/** Finds the key a token names, among the keys it was made from and no others. */
export type KeyFinder = JWTVerifyGetKey

export type SigningKey = CryptoKey

/**
 * Looks keys up in memory. Only public signing keys for our algorithm stay: a key set that a person configured may hold
 * more, and a symmetric or private key in it must never become a way in (RFC 8725 §3.1).
 */
export function keyFinder(set: JsonWebKeySet): KeyFinder {
  const keys = (set.keys as readonly JWK[]).filter(isVerificationKey)
  return createLocalJWKSet({ keys: keys.map((key) => ({ ...key, alg: ALGORITHM })) })
}

/** A pair named by the RFC 7638 thumbprint of its public half, so that no two keys share a `kid`. */
export async function generateSigningKey(): Promise<{ kid: string; publicJwk: JWK; privateJwk: JWK }> {
  const { publicKey, privateKey } = await generateKeyPair(ALGORITHM, { extractable: true })
  const publicJwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(publicJwk)
  const about = { kid, alg: ALGORITHM, use: 'sig' }
  return { kid, publicJwk: { ...publicJwk, ...about }, privateJwk: { ...(await exportJWK(privateKey)), ...about } }
}

/** A private key that can sign and cannot be read out again. */
export async function importSigningKey(privateJwk: object): Promise<SigningKey> {
  const key = await importJWK(privateJwk as JWK, ALGORITHM, { extractable: false })
  if (key instanceof Uint8Array) throw new TypeError('a symmetric key cannot be a signing key')
  return key
}

/** Only what RFC 7518 §6.2.1 calls the public parameters of an elliptic-curve key: nothing private can be published. */
export function publicPart(jwk: Readonly<Record<string, unknown>>, kid: string): object {
  const { kty, crv, x, y } = jwk
  return { kty, crv, x, y, kid, alg: ALGORITHM, use: 'sig' }
}

function isVerificationKey(key: JWK): boolean {
  return key.kty === 'EC' && key.crv === 'P-256' && key.d === undefined && (key.alg ?? ALGORITHM) === ALGORITHM
}
