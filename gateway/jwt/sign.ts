/** Signs a claims set as a compact JWS (RFC 7515 §7.1); the caller decides every claim, times included. */

import { type JWTPayload, SignJWT } from 'jose'
import { ALGORITHM, type SigningKey } from './keys.ts'

export interface SignerIdentity {
  readonly kid: string
  readonly privateKey: SigningKey
}

export function signClaims(signer: SignerIdentity, typ: string, claims: Readonly<JWTPayload>): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: ALGORITHM, kid: signer.kid, typ }).sign(signer.privateKey)
}
