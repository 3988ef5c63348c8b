/**
 * Counters that all nodes share. Redis makes them shared, never open: while it is away this node counts in memory by the
 * same rules, and says so once (SECURITY rule 32).
 */

import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import type { Consumption } from '../../model.ts'
import type { Counters } from '../../ports.ts'

const SCRIPT = readFileSync(new URL('./consume.lua', import.meta.url), 'utf8')
const KEY_PREFIX = 'postern:rate:'
/** After a failure Redis is left alone this long, so a frozen one costs one request its time-out and not all of them. */
const PAUSE_MS = 1000

/** `onChange` is told when counting moves to memory and when it comes back. */
export function redisCounters(
  redis: Redis,
  memory: Counters,
  onChange: (isShared: boolean, error: unknown) => void,
): Counters {
  redis.defineCommand('posternConsume', { numberOfKeys: 1, lua: SCRIPT })
  const { posternConsume } = redis as unknown as {
    posternConsume(key: string, burst: number, intervalMs: number, nowMs: number): Promise<unknown>
  }
  let pausedSinceMs = Number.NEGATIVE_INFINITY
  let isShared = true

  return {
    consume(key, rule, nowMs) {
      const elapsedMs = nowMs - pausedSinceMs
      if (elapsedMs >= 0 && elapsedMs < PAUSE_MS) return memory.consume(key, rule, nowMs)
      return shared(key, rule.burst, rule.intervalMs, nowMs).catch((error: unknown) => {
        pausedSinceMs = nowMs
        if (isShared) onChange(false, error)
        isShared = false
        return memory.consume(key, rule, nowMs)
      })
    },
  }

  async function shared(key: string, burst: number, intervalMs: number, nowMs: number): Promise<Consumption> {
    const answer = await posternConsume.call(redis, KEY_PREFIX + key, burst, intervalMs, nowMs)
    const consumption = readAnswer(answer)
    if (!isShared) onChange(true, null)
    isShared = true
    return consumption
  }
}

/** Redis is not trusted: an answer of another shape is an outage, not a pass. */
function readAnswer(answer: unknown): Consumption {
  if (Array.isArray(answer) && answer.length === 2) {
    const value = Number(answer[1])
    if (answer[0] === 1 && Number.isFinite(value)) return { admitted: true, freeAtMs: value }
    if (answer[0] === 0 && value > 0) return { admitted: false, retryAfterMs: value }
  }
  throw new Error('Redis answered the rate script with something else')
}
