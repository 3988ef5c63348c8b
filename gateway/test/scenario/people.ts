/** The people of the scenario table as bearer tokens of a key made for one run; a runner with a real identity provider makes its own. */

import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Person } from './table.ts'

export interface Presented {
  readonly id: string
  readonly email: string
  readonly token: string
}

export type People = Record<Exclude<Person, 'nobody'>, Presented>

export const ROLES: Record<keyof People, readonly string[]> = { reader: ['user'], admin: ['admin', 'editor'] }

/** Tokens as the gateway's own identity provider would issue them, and the key set that verifies them. */
export async function mintPeople(origin: string): Promise<{ people: People; jwks: { keys: object[] } }> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', use: 'sig', kid: 'scenario' }] }
  const present = async (name: keyof People): Promise<Presented> => {
    const email = `${name}@example.com`
    const token = await new SignJWT({ email, email_verified: true, name, roles: ROLES[name], sid: `session-${name}` })
      .setProtectedHeader({ alg: 'ES256', kid: 'scenario' })
      .setSubject(`id-${name}`)
      .setIssuer(origin)
      .setAudience(origin)
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(privateKey)
    return { id: `id-${name}`, email, token }
  }
  return { people: { reader: await present('reader'), admin: await present('admin') }, jwks }
}
