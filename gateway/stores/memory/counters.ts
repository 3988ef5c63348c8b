/** Counters for one process: tests, development, a single node, and the share a node counts while Redis is away. */

import { consume, honest, shareOf, standingOf } from '../../limit/rate.ts'
import type { Consumption, Lease } from '../../model.ts'
import type { Charge, Demand, LocalCounters, Standing } from '../../ports.ts'
import type { RateRule } from '../../rules.ts'

/** At most `keysMax` rates of each kind. Places are as many as there are open connections. */
export function memoryCounters(keysMax: number): LocalCounters {
  /** Apart, so that a flood of addresses drops nothing of what is counted after it. */
  const here = memoryRates(keysMax)
  const rates = memoryRates(keysMax)
  const places = new Map<string, number>()

  function chargeShare(demands: readonly Demand[], nowMs: number, nodes: number): Charge {
    const isAdmitted = demands.map((demand) => wouldAdmit(demand, nowMs, nodes))
    const isCharged = !isAdmitted.includes(false)
    const taken: string[] = []
    if (isCharged) {
      for (const { key, limit } of demands) {
        if (limit.kind === 'rate') rates.consume(key, shareOf(limit.rule, nodes), nowMs)
        else taken.push(key)
      }
    }
    const lease = taken.length > 0 ? hold(taken) : null
    return { lease, standings: demands.map((demand, at) => standing(demand, nowMs, nodes, isAdmitted[at]!)) }
  }

  function wouldAdmit({ key, limit }: Demand, nowMs: number, nodes: number): boolean {
    if (limit.kind === 'connections') return (places.get(key) ?? 0) < placesOf(limit.max, nodes)
    const rule = shareOf(limit.rule, nodes)
    return consume(rule, rates.freeAtMs(key, rule, nowMs), nowMs).admitted
  }

  function standing({ key, limit }: Demand, nowMs: number, nodes: number, isAdmitted: boolean): Standing {
    if (limit.kind === 'connections') {
      const left = Math.max(0, placesOf(limit.max, nodes) - (places.get(key) ?? 0))
      return { isAdmitted, left, resetMs: null }
    }
    const rule = shareOf(limit.rule, nodes)
    return standingOf(rule, rates.freeAtMs(key, rule, nowMs), nowMs, isAdmitted)
  }

  function hold(keys: readonly string[]): Lease {
    for (const key of keys) places.set(key, (places.get(key) ?? 0) + 1)
    let isHeld = true
    return {
      release() {
        if (!isHeld) return
        isHeld = false
        for (const key of keys) {
          const left = (places.get(key) ?? 1) - 1
          if (left > 0) places.set(key, left)
          else places.delete(key)
        }
      },
    }
  }

  return {
    consume: rates.consume,
    consumeHere: here.consume,
    charge: (demands, nowMs) => chargeShare(demands, nowMs, 1),
    chargeShare,
    hold,
  }
}

function placesOf(max: number, nodes: number): number {
  return Math.max(1, Math.floor(max / nodes))
}

/** The one untouched for longest goes first, and it is the likeliest to hold nothing any more. */
function memoryRates(keysMax: number) {
  const numbers = new Map<string, number>()
  /** The key that stands last, and need not be moved there. */
  let newest: string | null = null

  /** Touches it, refused or not, so the first key is always the stalest. */
  function freeAtMs(key: string, rule: RateRule, nowMs: number): number {
    const before = honest(rule, numbers.get(key) ?? 0, nowMs)
    keep(key, before)
    return before
  }

  function keep(key: string, number: number): void {
    if (key !== newest) numbers.delete(key)
    newest = key
    numbers.set(key, number)
    if (numbers.size > keysMax) numbers.delete(numbers.keys().next().value!)
  }

  return {
    freeAtMs,
    consume(key: string, rule: RateRule, nowMs: number): Consumption {
      const consumption = consume(rule, freeAtMs(key, rule, nowMs), nowMs)
      if (consumption.admitted) keep(key, consumption.freeAtMs)
      return consumption
    },
  }
}
