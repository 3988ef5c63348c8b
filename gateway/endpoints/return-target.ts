/** Where someone goes after signing in: a sealed path of this origin that the one canonicalizer accepts, and never a page of ours but the account. */

import { parseTarget } from '../http/target.ts'
import { Refusal } from '../model.ts'
import type { Sealer } from '../ports.ts'
import { isOwnPath } from '../snapshot.ts'
import type { PageDeps } from './deps.ts'

const PURPOSE = 'return'
/** A fixed word and no path, so it can never be taken for one that was asked for. */
const ACCOUNT = 'account'
const ACCOUNT_RETURN_MS = 3_600_000
/** Seals grow with the target, whose length admission bounds. */
const SEALED_CHARS_MAX = 16_384

export interface WayBack {
  /** The seal as given, to be carried through the next form; null when it did not open. */
  readonly sealed: string | null
  readonly path: string
}

/** A missing, broken or expired seal leads to the front page (SECURITY rule 31). */
export async function wayBack(deps: PageDeps, sealed: string | null | undefined): Promise<WayBack> {
  if (sealed === null || sealed === undefined || sealed === '' || sealed.length > SEALED_CHARS_MAX) return NOWHERE
  const text = await deps.sealer.open(PURPOSE, sealed, deps.nowMs())
  if (text === null) return NOWHERE
  if (text === ACCOUNT) return { sealed, path: '/_postern/account' }
  const path = safeReturn(text)
  return path === null ? NOWHERE : { sealed, path }
}

const NOWHERE: WayBack = { sealed: null, path: '/' }

/** The seal that brings someone back to the account page. */
export async function accountReturn(sealer: Sealer, nowMs: number): Promise<string> {
  return sealer.seal(PURPOSE, ACCOUNT, nowMs + ACCOUNT_RETURN_MS)
}

/**
 * The path and query to send a browser to, or null. We wrote the seal, yet the text in it began as a request of
 * somebody's choosing: `//evil` and `/\evil` are other sites to a browser (WHATWG URL §4.4).
 */
export function safeReturn(text: string): string | null {
  const target = parseTarget(text, true) // some routes keep an encoded slash; the others refuse it when it comes
  if (target instanceof Refusal) return null
  const { path, query, readings } = target
  if (OTHER_SITE.test(path)) return null
  // Our pages are not returned to, a sign-out page least of all; nor is what some reader would take for one.
  if (isOwnPath(path) || readings.some(isOwnPath)) return null
  return path + query
}

/** Decoded once more, an encoded slash in front is one too. */
const OTHER_SITE = /^\/(?:\/|%2f)/i
