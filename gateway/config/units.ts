/** Quantities as the policy file writes them: always with their unit, and parsed to the unit that stands in the name of the field. */

import { z } from 'zod'
import { rateRule } from '../limit/rate.ts'
import type { LimitScope, RateRule } from '../rules.ts'

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
      return rateOf(Number(count), unit as keyof typeof WINDOW_MS)
    })
    .refine(({ burst }) => burst >= 1, { error: 'expected at least 1' })
}

/** `20/min per user` or `5 connections per user`, with the text for people: one for each limit, however it was written. */
export interface LimitConfig {
  readonly text: string
  readonly per: LimitScope
  /** Null for a limit on connections. */
  readonly rate: RateRule | null
  /** Null for a rate. */
  readonly connectionsMax: number | null
}

const LIMIT = /^(?:(\d{1,7})\/(s|min|h)|(\d{1,6}) connections?) per (user|key|ip|route)$/
const LIMIT_WORDS = 'expected a limit, such as `20/min per user`, `300/min per ip` or `5 connections per user`'
/** All of a limit but whose it is. */
const COUNT_ALONE = /^\d+(?:\/(?:s|min|h)| connections?)$/
const LIMIT_OF_WHOM = 'a limit says whose requests it counts: add `per user`, `per key`, `per ip` or `per route`'

export function limit() {
  return z
    .string({ error: LIMIT_WORDS })
    .regex(LIMIT, { error: ({ input }) => (COUNT_ALONE.test(`${input}`) ? LIMIT_OF_WHOM : LIMIT_WORDS), abort: true })
    .transform((text): LimitConfig => {
      const [, rate, unit, places, per] = LIMIT.exec(text)!
      const count = Number(rate ?? places)
      if (places !== undefined) {
        const words = `${count} connection${count === 1 ? '' : 's'} per ${per}`
        return { text: words, per: per as LimitScope, rate: null, connectionsMax: count }
      }
      const rule = rateOf(count, unit as keyof typeof WINDOW_MS)
      return { text: `${count}/${unit} per ${per}`, per: per as LimitScope, rate: rule, connectionsMax: null }
    })
    .refine(({ rate, connectionsMax }) => (rate?.burst ?? connectionsMax ?? 0) >= 1, { error: 'expected at least 1' })
}

function rateOf(count: number, unit: keyof typeof WINDOW_MS): RateRule {
  return rateRule(count, WINDOW_MS[unit])
}

function showMs(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const)
    if (ms >= MS[unit] && ms % MS[unit] === 0) return `${ms / MS[unit]}${unit}`
  return `${ms}ms`
}
