/** A process that takes whatever comes and is not told to end, for tests of something else. */

import { type Ending, ending } from '../../node/ending.ts'
import { openPressure, type Pressure } from '../../node/pressure/pressure.ts'

export function noPressure(): { readonly pressure: Pressure; readonly ending: Ending } {
  const none = Number.POSITIVE_INFINITY
  const perAddress = { connectionsPerAddressMax: none, inFlightPerAddressMax: none }
  const limits = { connectionsMax: 10_000, inFlightMax: none, headTimeoutMs: 15_000, bodyIdleMs: 30_000 }
  return { pressure: openPressure({ ...limits, ...perAddress }, null), ending: ending() }
}
