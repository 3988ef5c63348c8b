/**
 * The level of the cache that nodes share. Redis is not trusted: a name tells nothing of the credential, a value is sealed
 * to its name, and whatever is not exactly what we wrote there is a miss (SECURITY rule 24).
 */

import type { Principal } from '../model.ts'
import type { CredentialStore, Primitives, Sealer } from '../ports.ts'
import { REMEMBERED_MS_MAX } from '../revocation/entry.ts'
import type { RateRule } from '../rules.ts'

/** A verified credential as it is shared: all that a hit needs, and no credential. */
export interface SharedEntry {
  readonly principal: Principal
  readonly names: readonly string[]
  readonly issuedAtMs: number | null
  readonly rate: RateRule | null
  readonly staleAtMs: number
  /** The log's number seen before the verification began. */
  readonly sequence: number
}

export interface SharedEntries {
  /** Null for a miss, whatever its cause. Takes at most the store's 200 ms and never rejects. */
  read(framed: string, nowMs: number): Promise<SharedEntry | null>
  /** Best effort: returns at once. */
  write(framed: string, entry: SharedEntry, nowMs: number): void
  readonly badSeals: number
}

/** Goes up whenever `encode` writes something else, so that versions of the gateway do not read each other's values. */
const FORMAT = 2
/** Longer ones are not shared; sealing makes them a third longer, and a sealer reads no more than 16 384. */
const SEALED_CHARS_MAX = 16_000
/** A hostile Redis can give a bad value to each request; one line in this time says so. */
const SAY_EVERY_MS = 5000

export function sharedEntries(deps: {
  readonly store: CredentialStore
  readonly sealer: Sealer
  readonly primitives: Primitives
  readonly nameKey: Uint8Array
  readonly log: (error: unknown) => void
}): SharedEntries {
  const { store, sealer, primitives, nameKey, log } = deps
  let badSeals = 0
  let saidAtMs = Number.NEGATIVE_INFINITY

  return {
    async read(framed, nowMs) {
      const name = nameFor(framed)
      let sealed: string | null
      try {
        sealed = await store.get(name)
      } catch {
        return null // said by the store, once per outage; here it costs only time
      }
      if (sealed === null) return null
      const text = await sealer.open(purposeOf(name), sealed, nowMs)
      const entry = text === null ? null : decode(text)
      if (entry === null) sayBad(nowMs)
      // The seal ends with the entry. By a clock that runs ahead it would end after the log has forgotten what revoked it.
      return entry !== null && entry.staleAtMs <= nowMs + REMEMBERED_MS_MAX ? entry : null
    },
    write(framed, entry, nowMs) {
      const lifeMs = Math.min(entry.staleAtMs - nowMs, REMEMBERED_MS_MAX)
      if (lifeMs <= 0) return
      const name = nameFor(framed)
      const keep = (sealed: string): void => {
        if (sealed.length <= SEALED_CHARS_MAX) store.set(name, sealed, lifeMs)
      }
      const sealed = sealer.seal(purposeOf(name), encode(entry), entry.staleAtMs)
      if (sealed instanceof Promise) sealed.then(keep, log)
      else keep(sealed)
    },
    get badSeals() {
      return badSeals
    },
  }

  /** Keyed, so that whoever reads Redis cannot look for a credential they have a guess at. */
  function nameFor(framed: string): string {
    let name = ''
    for (const byte of primitives.hmacSha256(nameKey, framed)) name += byte.toString(16).padStart(2, '0')
    return name
  }

  function sayBad(nowMs: number): void {
    badSeals += 1
    if (Math.abs(nowMs - saidAtMs) < SAY_EVERY_MS) return
    saidAtMs = nowMs
    log(new Error('Redis holds a credential entry that is not sealed by us, not for its key, or past its end: ignored'))
  }
}

/** The name is part of what is sealed: a value that was copied to another name opens nothing there. */
function purposeOf(name: string): string {
  return `credential/${FORMAT}/${name}`
}

function encode(entry: SharedEntry): string {
  const { principal, names, issuedAtMs, rate, staleAtMs, sequence } = entry
  return JSON.stringify({ principal, names, issuedAtMs, rate, staleAtMs, sequence })
}

/** The seal has proven that `encode` wrote it; this only makes of it again what it was. */
function decode(text: string): SharedEntry | null {
  const entry = parse(text)
  if (entry === null || !Number.isSafeInteger(entry.sequence) || !Number.isFinite(entry.staleAtMs)) return null
  for (const list of [entry.names, ...LISTS.map((list) => entry.principal[list])]) Object.freeze(list)
  for (const claim of Object.values(Object.freeze(entry.principal.claims))) Object.freeze(claim)
  // JSON knows no Infinity, which is the end of a key that has none.
  const expiresAtMs = entry.principal.expiresAtMs ?? Number.POSITIVE_INFINITY
  return { ...entry, principal: Object.freeze({ ...entry.principal, expiresAtMs }) }
}

function parse(text: string): SharedEntry | null {
  try {
    return JSON.parse(text) as SharedEntry
  } catch {
    return null
  }
}

const LISTS = ['roles', 'scopes', 'groups', 'methods'] as const
