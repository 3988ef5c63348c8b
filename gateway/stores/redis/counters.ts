/**
 * Counters that all nodes share. Redis makes them shared, never open: while it is away this node counts its share in memory,
 * and says so once (SECURITY rule 32). What Redis answers is read as a number within its bounds, or it is an outage.
 */

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { consume, honest, standingOf } from '../../limit/rate.ts'
import type { Lease } from '../../model.ts'
import type { Charge, Counters, Demand, LocalCounters } from '../../ports.ts'
import type { RateRule } from '../../rules.ts'

const scriptOf = (file: string) => readFileSync(new URL(file, import.meta.url), 'utf8')
const RATE_PREFIX = 'postern:rate:'
const PLACES_PREFIX = 'postern:places:'
const NODES_KEY = 'postern:nodes'
/** After a failure Redis is left alone this long, so a frozen one costs one request its time-out and not all of them. */
const PAUSE_MS = 1000
/** How often this node says that it lives, and how long its places outlive it. */
const BEAT_MS = 5000
const LIFE_MS = 15_000
/** A share of less than this would refuse nearly everybody; nobody but Redis says how many nodes there are. */
const NODES_MAX = 64
/** Places renewed by one command. */
const BATCH = 500
/** Places remembered for giving back; what is more ends by itself. */
const LOST_MAX = 10_000
const CLOSE_MS = 200

export interface SharedCounters extends Counters {
  /** Figures for operators. */
  status(): { readonly isShared: boolean; readonly nodes: number }
  /** Gives back what this node holds, if Redis can be told. Never rejects. */
  close(): Promise<void>
}

export interface Pace {
  readonly beatMs: number
  readonly lifeMs: number
}

/** A limit as Redis has it: whether it admits, and the number that is kept for it or the places that are taken. */
interface Counted {
  readonly isAdmitted: boolean
  readonly number: number
}

interface Scripts {
  posternCharge(keyCount: number, ...keysAndArguments: (string | number)[]): Promise<unknown>
  posternBeat(keyCount: number, ...keysAndArguments: (string | number)[]): Promise<unknown>
}

/** `onChange` is told when counting moves to memory and when it comes back. */
export function redisCounters(
  redis: Redis,
  memory: LocalCounters,
  onChange: (isShared: boolean, error: unknown) => void,
  { beatMs, lifeMs }: Pace = { beatMs: BEAT_MS, lifeMs: LIFE_MS },
): SharedCounters {
  redis.defineCommand('posternCharge', { lua: scriptOf('./charge.lua') })
  redis.defineCommand('posternBeat', { lua: scriptOf('./beat.lua') })
  const scripts = redis as unknown as Scripts
  const node = randomUUID()
  /** Places that are held, by name. Those taken while Redis was away stand in them with the next beat. */
  const held = new Map<string, readonly string[]>()
  /** Places that may stand in Redis and that nobody holds: given back while it was away, or asked for in a question it left open. */
  const lost = new Map<string, readonly string[]>()
  let placeCount = 0
  let nodes = 1
  let pausedSinceMs = Number.NEGATIVE_INFINITY
  let isShared = true
  /** After a pause one request finds out whether Redis is back; the others do not wait with it. */
  let isProbing = false
  let isClosed = false
  let isBeating = false
  const timer = setInterval(() => void beat(), beatMs).unref()
  void beat()

  return {
    consume(key, rule, nowMs) {
      if (isLeftAlone(nowMs)) return memory.consume(key, rule, nowMs)
      return shared([demandOf(key, rule)], nowMs).then(
        ([counted]) =>
          counted!.isAdmitted ? { admitted: true, freeAtMs: counted!.number } : consume(rule, counted!.number, nowMs),
        () => memory.consume(key, rule, nowMs),
      )
    },
    consumeHere: memory.consumeHere,
    charge(demands, nowMs, onOutage) {
      if (isLeftAlone(nowMs)) return alone(demands, nowMs, onOutage)
      const name = newName()
      return shared(demands, nowMs, name).then(
        (counted) => chargeOf(demands, counted, nowMs, name),
        () => {
          lose(name, placesOf(demands))
          return alone(demands, nowMs, onOutage)
        },
      )
    },
    status: () => ({ isShared, nodes }),
    async close() {
      isClosed = true
      clearInterval(timer)
      const batch = redis.pipeline().zrem(NODES_KEY, node)
      for (const [name, places] of [...held, ...lost]) for (const key of places) batch.zrem(PLACES_PREFIX + key, name)
      held.clear()
      const isSent = batch.exec().then(ignore, ignore)
      await Promise.race([isSent, new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())])
    },
  }

  function isLeftAlone(nowMs: number): boolean {
    const elapsedMs = nowMs - pausedSinceMs
    return isProbing || (elapsedMs >= 0 && elapsedMs < PAUSE_MS)
  }

  /** On one node's own account. Places taken here are told to the others with the next beat that reaches them. */
  function alone(demands: readonly Demand[], nowMs: number, onOutage: 'share' | 'refuse'): Charge | Promise<Charge> {
    if (onOutage === 'refuse') return Promise.reject(new Error('the shared counters cannot be reached'))
    const charge = memory.chargeShare(demands, nowMs, nodes)
    return charge.lease === null ? charge : { ...charge, lease: leaseOf(newName(), placesOf(demands), charge.lease) }
  }

  /** In one round trip. */
  async function shared(demands: readonly Demand[], nowMs: number, name = ''): Promise<readonly Counted[]> {
    const isProbe = !isShared
    isProbing ||= isProbe
    try {
      const values = demands.flatMap(({ limit }) =>
        limit.kind === 'rate' ? [limit.rule.burst, limit.rule.intervalMs] : ['places', limit.max],
      )
      const answer = await scripts.posternCharge(demands.length, ...demands.map(nameOf), nowMs, lifeMs, name, ...values)
      const counted = readAnswer(answer, demands, nowMs)
      succeeded()
      return counted
    } catch (error) {
      failed(error, nowMs)
      throw error
    } finally {
      if (isProbe) isProbing = false
    }
  }

  function chargeOf(demands: readonly Demand[], counted: readonly Counted[], nowMs: number, name: string): Charge {
    const places = counted.every(({ isAdmitted }) => isAdmitted) ? placesOf(demands) : []
    return {
      lease: places.length > 0 ? leaseOf(name, places, memory.hold(places)) : null,
      standings: demands.map(({ limit }, at) => {
        const { isAdmitted, number } = counted[at]!
        if (limit.kind === 'rate') return standingOf(limit.rule, number, nowMs, isAdmitted)
        return { isAdmitted, left: Math.max(0, limit.max - number), resetMs: null }
      }),
    }
  }

  function newName(): string {
    placeCount++
    return `${node}:${placeCount}`
  }

  function leaseOf(name: string, places: readonly string[], here: Lease): Lease {
    held.set(name, places)
    return {
      release() {
        here.release()
        if (!held.delete(name)) return
        if (isShared) giveBack(name, places)
        else lose(name, places)
      },
    }
  }

  /** One that is not given back after all ends by itself, for nobody renews it. */
  function giveBack(name: string, places: readonly string[]): void {
    for (const key of places) redis.zrem(PLACES_PREFIX + key, name).catch(ignore)
  }

  function lose(name: string, places: readonly string[]): void {
    if (places.length > 0 && lost.size < LOST_MAX) lost.set(name, places)
  }

  /** A failure is for the next request to find out. */
  async function beat(): Promise<void> {
    if (isBeating) return
    isBeating = true
    try {
      const places = [...held].flatMap(([name, keys]) => keys.map((key) => ({ name, key: PLACES_PREFIX + key })))
      for (let from = 0; from === 0 || from < places.length; from += BATCH) {
        // Those given back while an earlier batch was under way are over.
        const batch = places.slice(from, from + BATCH).filter(({ name }) => held.has(name))
        const keys = batch.map(({ key }) => key)
        const names = batch.map(({ name }) => name)
        if (isClosed) return
        const count = Number(await scripts.posternBeat(1 + keys.length, NODES_KEY, ...keys, node, lifeMs, ...names))
        if (count >= 1) nodes = Math.min(NODES_MAX, Math.round(count))
      }
    } catch {
      // What was said before holds for a while yet.
    } finally {
      isBeating = false
    }
  }

  function succeeded(): void {
    if (isShared) return
    isShared = true
    onChange(true, null)
    for (const [name, places] of lost) giveBack(name, places)
    lost.clear()
    void beat() // what was taken meanwhile is told at once
  }

  function failed(error: unknown, nowMs: number): void {
    pausedSinceMs = nowMs
    if (!isShared) return
    isShared = false
    onChange(false, error)
  }
}

function nameOf({ key, limit }: Demand): string {
  return (limit.kind === 'rate' ? RATE_PREFIX : PLACES_PREFIX) + key
}

function placesOf(demands: readonly Demand[]): readonly string[] {
  return demands.filter(({ limit }) => limit.kind === 'connections').map(({ key }) => key)
}

function demandOf(key: string, rule: RateRule): Demand {
  return { key, limit: { kind: 'rate', id: key, per: 'route', rule, text: '' } }
}

/** Redis is not trusted: an answer of another shape is an outage, not a pass. */
function readAnswer(answer: unknown, demands: readonly Demand[], nowMs: number): readonly Counted[] {
  if (!Array.isArray(answer) || answer.length !== demands.length * 2) throw odd()
  return demands.map(({ limit }, at) => {
    const [admits, text] = [answer[2 * at], answer[2 * at + 1]]
    const number = typeof text === 'string' && text !== '' ? Number(text) : Number.NaN
    if ((admits !== 0 && admits !== 1) || !Number.isFinite(number) || number < 0) throw odd()
    const isAdmitted = admits === 1
    if (limit.kind === 'connections') return { isAdmitted, number: Math.round(number) }
    const free = honest(limit.rule, number, nowMs)
    if (!isAdmitted && consume(limit.rule, free, nowMs).admitted) throw odd()
    return { isAdmitted, number: free }
  })
}

function odd(): Error {
  return new Error('Redis answered the limits with something else')
}

function ignore(): void {}
