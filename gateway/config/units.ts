/** Quantities as the policy file writes them: always with their unit, and parsed to the unit that stands in the name of the field. */

import { z } from 'zod'
import type { RateRule } from '../model.ts'

const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/
const BYTES = /^(\d{1,9})(B|KiB|MiB|GiB)$/
const RATE = /^(\d{1,7})\/(s|min|h)$/

const MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const BYTE = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const
const WINDOW_MS = { s: 1000, min: 60_000, h: 3_600_000 } as const

/** A length of time, in milliseconds once parsed. */
export function duration(minMs: number, maxMs: number) {
  return z
    .string({ error: 'expected a duration with its unit, such as `30s`, `15m`, `8h` or `30d`' })
    .regex(DURATION, { error: 'expected a duration with its unit, such as `30s`, `15m`, `8h` or `30d`', abort: true })
    .transform((text) => {
      const [, count, unit] = DURATION.exec(text)!
      return Number(count) * MS[unit as keyof typeof MS]
    })
    .refine((ms) => ms >= minMs && ms <= maxMs, {
      error: `expected between ${showMs(minMs)} and ${showMs(maxMs)}`,
    })
}

/** A size, in bytes once parsed. */
export function byteSize(maxBytes: number) {
  return z
    .string({ error: 'expected a size with its unit, such as `512KiB`, `1MiB` or `2GiB`' })
    .regex(BYTES, { error: 'expected a size with its unit, such as `512KiB`, `1MiB` or `2GiB`', abort: true })
    .transform((text) => {
      const [, count, unit] = BYTES.exec(text)!
      return Number(count) * BYTE[unit as keyof typeof BYTE]
    })
    .refine((bytes) => bytes >= 1 && bytes <= maxBytes, { error: `expected between 1B and ${maxBytes / BYTE.GiB}GiB` })
}

/** So many in so much time: all of them at once, or spread out. */
export function rate() {
  return z
    .string({ error: 'expected a rate, such as `10/min`, `1000/s` or `100/h`' })
    .regex(RATE, { error: 'expected a rate, such as `10/min`, `1000/s` or `100/h`', abort: true })
    .transform((text): RateRule => {
      const [, count, unit] = RATE.exec(text)!
      return { burst: Number(count), intervalMs: WINDOW_MS[unit as keyof typeof WINDOW_MS] / Number(count) }
    })
    .refine(({ burst }) => burst >= 1, { error: 'expected at least 1' })
}

function showMs(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const)
    if (ms >= MS[unit] && ms % MS[unit] === 0) return `${ms / MS[unit]}${unit}`
  return `${ms}ms`
}
