/** One coarse timer for all open exchanges with upstreams: a timer per request would cost more than the request. */

import { Seats } from './seats.ts'

/** Something that can be asked whether its time is up. */
export interface Sweepable {
  /** Kept by the sweep; -1 at first. */
  sweepSeat: number
  /** Called about once in SWEEP_MS with monotonic time. */
  sweep(nowMs: number): void
}

export interface RelaySweep {
  add(relay: Sweepable): void
  delete(relay: Sweepable): void
  readonly size: number
  stop(): void
}

/** Time-outs are late by up to this much. */
const SWEEP_MS = 250

export function relaySweep(): RelaySweep {
  const open = new Seats<'sweepSeat', Sweepable>('sweepSeat')
  const timer = setInterval(() => {
    const nowMs = performance.now()
    for (const relay of open.list()) relay.sweep(nowMs)
  }, SWEEP_MS).unref()
  return {
    add: (relay) => void open.add(relay),
    delete: (relay) => void open.delete(relay),
    get size() {
      return open.size
    },
    stop: () => clearInterval(timer),
  }
}
