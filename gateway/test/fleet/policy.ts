/** The policy of the fleets under test, and an issuer whose keys stand in it: tokens are signed here, and nothing is fetched. */

import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'

export const ISSUER = 'https://ci.example.com'

export interface TestIssuer {
  readonly jwk: JWK
  sign(claims: Readonly<Record<string, unknown>>): Promise<string>
}

export async function createIssuer(issuer = ISSUER, kid = 'k1'): Promise<TestIssuer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' },
    sign: (claims) => {
      const nowSeconds = Math.floor(Date.now() / 1000)
      return new SignJWT({ iss: issuer, aud: 'books', iat: nowSeconds, exp: nowSeconds + 3600, ...claims })
        .setProtectedHeader({ alg: 'ES256', kid, typ: 'at+jwt' })
        .sign(privateKey)
    },
  }
}

export function fleetPolicy(issuer: TestIssuer, maxStaleness = '5s'): string {
  return `
version: 1
origin: ORIGIN
store: { database: "\${env:DATABASE_URL?}", redis: "\${env:REDIS_URL?}", secret: "\${env:POSTERN_SECRET}" }
login: { signup: open, allowUnverifiedEmail: true, rateLimits: { signIn: 100000/h, signUp: 100000/h } }
admission: { perAddress: off }
revocation: { maxStaleness: ${maxStaleness} }
admin: { listen: ADMIN }
keys: { prefix: bk_, limit: 1000000/min }
tokens:
  ci: { issuer: ${ISSUER}, audience: books, roles: [deployer], keys: [${JSON.stringify(issuer.jwk)}] }
upstreams:
  books: { url: UPSTREAM }
routes:
  /api/health: { to: books, access: public }
  /api/whoami: { to: books, access: { with: [session, token, key] } }
  /api/admin: { to: books, access: { role: admin } }
  /events: { to: books, access: { with: [session, token, key] } }
`
}
