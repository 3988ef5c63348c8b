/**
 * An issuer's key set, kept warm: read in the background, one read at a time, and the last good keys serve while the issuer
 * is down. A token with an unknown `kid` makes one read per cooldown, whoever sends how many of them (SECURITY rule 25).
 */

import type { CryptoKey } from 'jose'
import { Refusal } from '../model.ts'
import type { Outbound } from '../ports.ts'
import { createDiscovery, type DiscoverySettings, readJson } from './discovery.ts'
import type { KeySource } from './foreign.ts'
import { EMPTY_SET, type KeySet, matchKeys, readKeySet } from './key-set.ts'

export interface RemoteKeysSettings extends DiscoverySettings {
  /** Name of the issuer in the policy, for log lines. */
  readonly name: string
  /** Null: found by discovery. */
  readonly jwksUrl: string | null
  readonly algorithms: readonly string[]
  /** The last good keys serve this long after they were read. */
  readonly keepMs: number
}

export interface KeyStatus {
  readonly keys: number
  /** Since the last good read began; null before the first. */
  readonly ageMs: number | null
  /** Of the last read; null when it was good. */
  readonly lastError: string | null
}

export interface Keys extends KeySource {
  /** Resolves once the first read has ended, well or not. */
  start(): Promise<void>
  status(): KeyStatus
  close(): void
}

const UNKNOWN = Object.freeze(new Refusal('token.key-unknown'))
const UNAVAILABLE = Object.freeze(new Refusal('keys.unavailable'))
const WRONG_ALGORITHM = Object.freeze(new Refusal('token.algorithm'))
const AMBIGUOUS = Object.freeze(new Refusal('token.key-unknown', { log: 'no kid, and several keys fit' }))

/** Requests that wait for one read; what hangs must not collect them without end. */
const WAITERS_MAX = 128
const ABSENT_KIDS_MAX = 1000

export function createRemoteKeys(
  settings: RemoteKeysSettings,
  deps: {
    readonly outbound: Outbound
    readonly monotonicMs: () => number
    /** A key that was there is there no more. */
    readonly onKeyLost: () => void
    readonly log: (error: unknown) => void
  },
): Keys {
  const { name, cooldownMs, maxAgeMs } = settings
  const { outbound, monotonicMs, log } = deps
  const discovery = createDiscovery('jwks_uri', settings, outbound, monotonicMs)
  let set = EMPTY_SET
  let readAtMs: number | null = null
  let lastError: string | null = null
  let reading: Promise<void> | null = null
  let askedAtMs = Number.NEGATIVE_INFINITY
  let waiters = 0
  /** Kids that a read did not find, and when it was asked for: they are answered at once, and wait for no other read. */
  const absent = new Map<string, number>()
  let timer: ReturnType<typeof setTimeout> | undefined
  let isClosed = false

  return {
    start: read,
    find(alg, kid) {
      return lookUp(alg, kid) ?? findLater(alg, kid)
    },
    status: () => ({
      keys: set.keys.length,
      ageMs: readAtMs === null ? null : monotonicMs() - readAtMs,
      lastError,
    }),
    close() {
      isClosed = true
      clearTimeout(timer)
    },
  }

  /** Null for a `kid` that is not in the set, or when there is no set. */
  function lookUp(alg: string, kid: string | null): readonly CryptoKey[] | Refusal | null {
    return isKept() ? keysOf(set, alg, kid) : null
  }

  function isKept(): boolean {
    return readAtMs !== null && monotonicMs() - readAtMs <= settings.keepMs
  }

  async function findLater(alg: string, kid: string | null): Promise<readonly CryptoKey[] | Refusal> {
    const nowMs = monotonicMs()
    const absentSinceMs = kid === null ? undefined : absent.get(kid)
    if (absentSinceMs !== undefined && nowMs - absentSinceMs < cooldownMs) return unknown()
    if (waiters >= WAITERS_MAX) return UNAVAILABLE
    waiters += 1
    try {
      if (reading !== null) {
        await reading
        const found = lookUp(alg, kid)
        if (found !== null) return found
        if (lastError !== null) return UNAVAILABLE
      }
      // That read may have begun before the key was published; the next one does not.
      if (reading === null && monotonicMs() - askedAtMs < cooldownMs) return unknown()
      if (reading === null) askedAtMs = monotonicMs()
      await read()
    } finally {
      waiters -= 1
    }
    const found = lookUp(alg, kid)
    if (found === null && kid !== null && lastError === null) rememberAbsent(kid, nowMs)
    return found ?? unknown()
  }

  /** What the issuer's last answer does not hold is unknown; without an answer it cannot be told. */
  function unknown(): Refusal {
    return lastError === null && isKept() ? UNKNOWN : UNAVAILABLE
  }

  function rememberAbsent(kid: string, nowMs: number): void {
    absent.delete(kid)
    if (absent.size >= ABSENT_KIDS_MAX) absent.delete(absent.keys().next().value!)
    absent.set(kid, nowMs)
  }

  function read(): Promise<void> {
    reading ??= readNow().then(() => {
      reading = null
      schedule()
    })
    return reading
  }

  async function readNow(): Promise<void> {
    const beganAtMs = monotonicMs()
    try {
      adopt(await fetchSet(beganAtMs + settings.timeoutMs))
      readAtMs = beganAtMs
      lastError = null
    } catch (error) {
      lastError = error instanceof Error ? error.message : String(error)
      log(new Error(`the keys of tokens.${name} could not be read: ${lastError}`))
    }
  }

  async function fetchSet(endsAtMs: number): Promise<KeySet> {
    const url = settings.jwksUrl ?? (await discovery.read())
    const limits = { timeoutMs: Math.max(1, endsAtMs - monotonicMs()), bytesMax: settings.bytesMax }
    const document = await readJson(outbound, url, limits)
    if (document === null) throw new Error(`${url} did not answer with 200`)
    const found = await readKeySet(document, settings.algorithms)
    if (found === null) throw new Error(`${url} is no key set`)
    return found
  }

  function adopt(next: KeySet): void {
    const before = set
    set = next
    const said = before.refused.join()
    if (next.refused.length > 0 && next.refused.join() !== said) log(new Error(refusedText(name, next)))
    const ids = new Set(next.keys.map((key) => key.id))
    if (before.keys.some((key) => !ids.has(key.id))) deps.onKeyLost()
  }

  /** Nodes that started together do not ask together; after a failure it is tried again as soon as an unknown kid would. */
  function schedule(): void {
    clearTimeout(timer)
    if (isClosed) return
    const delayMs = lastError === null ? maxAgeMs : Math.min(maxAgeMs, cooldownMs)
    timer = setTimeout(read, delayMs * (0.8 + 0.2 * Math.random()))
  }
}

/** Keys that stand in the policy: nothing is fetched, and nothing is ever found out later. */
export async function readInlineKeys(
  name: string,
  keys: readonly object[],
  algorithms: readonly string[],
  log: (error: unknown) => void,
): Promise<Keys> {
  const set = (await readKeySet({ keys }, algorithms)) ?? EMPTY_SET
  if (set.refused.length > 0) log(new Error(refusedText(name, set)))
  if (set.keys.length === 0)
    throw new Error(`tokens.${name}.keys holds no key that can verify: ${set.refused.join('; ')}`)
  return {
    start: () => Promise.resolve(),
    find: (alg, kid) => keysOf(set, alg, kid) ?? UNKNOWN,
    status: () => ({ keys: set.keys.length, ageMs: 0, lastError: null }),
    close() {},
  }
}

function keysOf(set: KeySet, alg: string, kid: string | null): readonly CryptoKey[] | Refusal | null {
  const match = matchKeys(set, alg, kid)
  if (match === 'unknown-kid') return null
  if (match === 'wrong-algorithm') return WRONG_ALGORITHM
  if (match === 'ambiguous') return AMBIGUOUS
  return match.map((key) => key.byAlgorithm.get(alg)!)
}

function refusedText(name: string, { refused }: KeySet): string {
  return `keys of tokens.${name} are left out: ${refused.join('; ')}`
}
