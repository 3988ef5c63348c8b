/** Keys of an issuer that every row trusts, and the tokens that go round: many, so that no row lives on remembering one. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose'

export const ISSUER = 'https://auth.bench.test'
export const AUDIENCE = 'https://api.bench.test'
export const ALGORITHMS = ['ES256', 'RS256'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

const TOKENS = 256
const LIFE = '12h'

export interface Credentials {
  readonly jwks: readonly JWK[]
  readonly tokens: Readonly<Record<Algorithm, readonly string[]>>
}

export function publicKeyFile(folder: string, algorithm: Algorithm): string {
  return join(folder, `${algorithm}.pem`)
}

/** Writes the public keys into the folder. */
export async function makeCredentials(folder: string): Promise<Credentials> {
  const jwks: JWK[] = []
  const tokens: Record<Algorithm, readonly string[]> = { ES256: [], RS256: [] }
  for (const alg of ALGORITHMS) {
    const { publicKey, privateKey } = await generateKeyPair(alg)
    writeFileSync(publicKeyFile(folder, alg), await exportSPKI(publicKey))
    jwks.push({ ...(await exportJWK(publicKey)), kid: alg, alg, use: 'sig' })
    const sign = (at: number) =>
      new SignJWT({
        email: `user${at}@bench.test`,
        email_verified: true,
        name: `Test User Number ${at}`,
        roles: ['reader', 'editor'],
        org: `acme-corp-${at % 10}`,
        scope: 'read:items write:items read:billing',
        jti: crypto.randomUUID(),
      })
        .setProtectedHeader({ alg, kid: alg, typ: 'at+jwt' })
        .setSubject(`0190b3c4-7e2a-7abc-8def-${String(at).padStart(12, '0')}`)
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setIssuedAt()
        .setExpirationTime(LIFE)
        .sign(privateKey)
    tokens[alg] = await Promise.all(Array.from({ length: TOKENS }, (_, at) => sign(at)))
  }
  return { jwks, tokens }
}
