/**
 * The secret every key is derived from. Outside production one is made on the first run; wherever stores are shared or
 * people are real it is given explicitly, because a secret that a node made for itself no other node knows (SECURITY rule 26).
 */

import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startupError } from './startup-error.ts'

const SECRET_BYTES = 48
/** 32 bytes in base64url without padding, and in hexadecimal. */
const BASE64_CHARS_MIN = 43
const HEX_CHARS_MIN = 64
/** 32 random bytes hold fewer different characters than this about never. */
const DISTINCT_CHARS_MIN = 12

const CURE =
  'Make one with `openssl rand -base64 48` (or `postern secret`), set POSTERN_SECRET to it, and have the policy say `store: { secret: "${env:POSTERN_SECRET?}" }`.'

export interface SecretNeeds {
  /** Secrets of the policy, newest first. */
  readonly given: readonly string[]
  /** Why this gateway must not make a secret of its own; null when it may. */
  readonly because: string | null
  readonly dataDir: string
}

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64')
}

/** Newest first; never empty. */
export function resolveSecrets({ given, because, dataDir }: SecretNeeds): readonly string[] {
  if (given.some((secret) => !isStrong(secret))) {
    throw startupError(`The secret is too weak: it must be 32 random bytes or more. ${CURE}`)
  }
  if (given.length > 0) return given
  if (because !== null) throw startupError(`A secret is required, because ${because}. ${CURE}`)
  return [ownSecret(dataDir)]
}

export function isStrong(secret: string): boolean {
  const isHex = /^[0-9a-f]*$/i.test(secret)
  return secret.length >= (isHex ? HEX_CHARS_MIN : BASE64_CHARS_MIN) && new Set(secret).size >= DISTINCT_CHARS_MIN
}

/** The secret of this data folder, made on first use. Written aside and linked, so that two starts at once agree on one. */
function ownSecret(dataDir: string): string {
  const path = join(dataDir, 'secret')
  let isDrafted = false
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    const known = readIfThere(path)
    if (known !== null) return known
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    isDrafted = true
    writeFileSync(draft, `${newSecret()}\n`, { mode: 0o600, flag: 'wx', flush: true })
    try {
      linkSync(draft, path)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'EEXIST') throw error
    }
    const made = readIfThere(path)
    if (made === null) throw new Error('it disappeared while it was made')
    return made
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw startupError(`The secret in ${path} cannot be used: ${why}`, error)
  } finally {
    if (isDrafted) rmSync(draft, { force: true })
  }
}

function readIfThere(path: string): string | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return null
    throw error
  }
  if (!isStrong(text))
    throw new Error('it does not hold a secret of ours. Remove it to make a new one; sessions end then')
  return text
}
