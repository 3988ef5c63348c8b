/** One secret, many keys: HKDF gives each use its own, so a value sealed for one use opens nothing else (SECURITY rule 26). */

import type { Primitives } from '../ports.ts'
import { toBase64Url } from './base64.ts'

/** Newest first: the first seals and signs, all of them open and verify. */
export interface DerivedKeys {
  /** What the identity provider signs cookies with and encrypts its keys under. `version` names a secret wherever it stands in the list. */
  readonly provider: readonly { readonly version: number; readonly value: string }[]
  readonly seal: readonly Uint8Array[]
  readonly keyEncryption: readonly Uint8Array<ArrayBuffer>[]
  readonly logSeal: readonly Uint8Array[]
  readonly credentialSeal: readonly Uint8Array[]
  /** What a remembered credential is named by in a shared store: the newest secret's only, for it is no loss to forget one. */
  readonly credentialName: Uint8Array
}

/** RFC 2104 wants a key as strong as the hash; nothing shorter than this can be. */
const SECRET_CHARS_MIN = 32

export function deriveKeys(primitives: Primitives, secrets: readonly string[]): DerivedKeys {
  if (secrets.length === 0) throw new RangeError('at least one secret is needed')
  if (secrets.some((secret) => secret.length < SECRET_CHARS_MIN)) {
    throw new RangeError(`a secret needs at least ${SECRET_CHARS_MIN} characters`)
  }
  const distinct = [...new Set(secrets)]
  const derive = (use: string): Uint8Array[] => distinct.map((secret) => primitives.hkdfSha256(secret, use))
  return {
    provider: distinct.map((secret) => ({
      version: versionOf(primitives.hkdfSha256(secret, 'secret-version')),
      value: toBase64Url(primitives.hkdfSha256(secret, 'better-auth')),
    })),
    seal: derive('return-seal'),
    keyEncryption: derive('key-encryption').map((key) => new Uint8Array(key)),
    logSeal: derive('revocation-log'),
    credentialSeal: derive('credential-seal'),
    credentialName: primitives.hkdfSha256(distinct[0]!, 'credential-name'),
  }
}

/**
 * A number derived from the secret itself. A position in the list would give what an old secret sealed a new name at
 * every rotation.
 */
function versionOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) >>> 1
}
