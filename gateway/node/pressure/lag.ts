/**
 * How far this process falls behind, and which share of new requests it turns away for that. The share grows while it has been
 * late for long and shrinks when it is not, so it settles where the rest is served in time.
 */

/** Timers that are late by more than this, again and again for so long, mean more work than there is time for. */
export const LAG_MS_MAX = 250
export const LASTING_MS = 2_000
/** A machine that slept, and then slept again, was late for long but not often. */
export const LATE_SAMPLES_MIN = 4
const SAMPLE_MS = 100
const GROWTH_PER_MS = 0.2 / 1000
const SHRINKAGE_PER_MS = 0.4 / 1000
/** Some are always served, or nobody would find out that it is better. */
const SHARE_MAX = 0.95

export interface Lag {
  /** Of the newest sample. */
  readonly lagMs: number
  /** Of new requests, from 0 to SHARE_MAX. */
  readonly shedShare: number
  stop(): void
}

/** Late again and again: one long stall is over when it is seen. */
export class LagGauge {
  lagMs = 0
  shedShare = 0
  #sampledAtMs: number
  #lateSinceMs = 0
  #lateSamples = 0

  constructor(nowMs: number) {
    this.#sampledAtMs = nowMs
  }

  sample(nowMs: number): void {
    const elapsedMs = nowMs - this.#sampledAtMs
    this.#sampledAtMs = nowMs
    this.lagMs = Math.max(0, elapsedMs - SAMPLE_MS)
    if (this.lagMs <= LAG_MS_MAX) this.#lateSamples = 0
    else if (this.#lateSamples++ === 0) this.#lateSinceMs = nowMs
    const isLasting = this.#lateSamples >= LATE_SAMPLES_MIN && nowMs - this.#lateSinceMs >= LASTING_MS
    const change = elapsedMs * (isLasting ? GROWTH_PER_MS : -SHRINKAGE_PER_MS)
    this.shedShare = Math.min(SHARE_MAX, Math.max(0, this.shedShare + change))
  }
}

export function watchLag(): Lag {
  const gauge = new LagGauge(performance.now())
  const timer = setInterval(() => gauge.sample(performance.now()), SAMPLE_MS).unref()
  return {
    get lagMs() {
      return gauge.lagMs
    },
    get shedShare() {
      return gauge.shedShare
    },
    stop: () => clearInterval(timer),
  }
}
