/**
 * A server that fails again and again is left alone for a while, and then tried with one request at a time. The library keeps
 * the states and the counts; the time is kept here, by a clock that nobody can turn.
 */

import { type CircuitBreakerPolicy, ConsecutiveBreaker, circuitBreaker, handleAll } from 'cockatiel'
import type { EjectionRule } from '../../rules.ts'

/** However often it fails in a row, it is tried again after this. */
const DURATION_MS_MAX = 300_000
/** A request that was to try it and never came is waited for this long. */
const PROBE_MS = 1_000

export interface EjectionDeps {
  readonly rule: EjectionRule
  /** May this one be left alone too, or are too many already? */
  readonly mayEject: () => boolean
  readonly onChange: (isOut: boolean) => void
  readonly monotonicMs: () => number
}

export class Ejection {
  readonly #deps: EjectionDeps
  #breaker: CircuitBreakerPolicy
  #isOut = false
  /** A failure has been counted since the last success. */
  #isCounting = false
  #untilMs = 0
  /** Nobody else is chosen to try it before. */
  #promisedUntilMs = 0
  /** What the library waits for while the server is tried. */
  #probe: PromiseWithResolvers<void> | null = null
  /** Whose request that is; null while nobody's. */
  #prober: object | null = null

  constructor(deps: EjectionDeps) {
    this.#deps = deps
    this.#breaker = this.#newBreaker()
  }

  get isOut(): boolean {
    return this.#isOut
  }

  /** Is it time to try it, and is nobody doing so? Who is told yes is expected to. */
  mayProbe(): boolean {
    const nowMs = this.#deps.monotonicMs()
    if (!this.#isOut || this.#prober !== null || nowMs < this.#untilMs || nowMs < this.#promisedUntilMs) return false
    this.#promisedUntilMs = nowMs + PROBE_MS
    return true
  }

  /** A request goes to it. */
  enter(asker: object): void {
    if (!this.#isOut || this.#prober !== null) return
    this.#prober = asker
    if (this.#probe !== null) return
    const probe = Promise.withResolvers<void>()
    probe.promise.catch(ignore)
    this.#probe = probe
    this.#count(() => probe.promise)
  }

  /** The asker's request is over, whatever became of it: if it said nothing of the server, the next one tries. */
  leave(asker: object): void {
    if (this.#prober === asker) this.#prober = null
  }

  succeeded(asker: object): void {
    if (this.#isOut) {
      if (this.#prober === asker) this.#settle()?.resolve()
    } else if (this.#isCounting) {
      this.#isCounting = false
      this.#count(succeed)
    }
  }

  failed(asker: object): void {
    if (this.#isOut) {
      if (this.#prober === asker) this.#settle()?.reject(FAILURE)
    } else {
      this.#isCounting = true
      this.#count(fail)
    }
  }

  #settle(): PromiseWithResolvers<void> | null {
    const probe = this.#probe
    this.#probe = null
    this.#prober = null
    // Until the library has heard of it.
    this.#promisedUntilMs = this.#deps.monotonicMs() + PROBE_MS
    return probe
  }

  #forgetProbe(): void {
    this.#probe = null
    this.#prober = null
    this.#promisedUntilMs = 0
  }

  #count(outcome: () => void | Promise<void>): void {
    this.#breaker.execute(outcome).catch(ignore)
  }

  #newBreaker(): CircuitBreakerPolicy {
    const { rule, mayEject, onChange, monotonicMs } = this.#deps
    const backoff = {
      // For the library it is always time.
      duration: 0,
      next: ({ attempt }: { readonly attempt: number }) => {
        this.#untilMs = monotonicMs() + Math.min(rule.durationMs * 2 ** (attempt - 1), DURATION_MS_MAX)
        return backoff
      },
    }
    const breaker = circuitBreaker(handleAll, {
      halfOpenAfter: backoff,
      breaker: new ConsecutiveBreaker(rule.failures),
    })
    breaker.onBreak(() => {
      this.#forgetProbe()
      if (this.#isOut) return
      if (!mayEject()) {
        this.#breaker = this.#newBreaker()
        return
      }
      this.#isOut = true
      onChange(true)
    })
    breaker.onReset(() => {
      this.#forgetProbe()
      this.#isOut = false
      this.#isCounting = false
      onChange(false)
    })
    return breaker
  }
}

const FAILURE = new Error('the server failed')

function succeed(): void {}

function fail(): void {
  throw FAILURE
}

function ignore(): void {}
