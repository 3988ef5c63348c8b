/** Verified credentials that nodes share. What Redis says is sealed by whoever wrote it here; what it does not say in time is a miss. */

import type { Redis } from 'ioredis'
import type { CredentialStore } from '../../ports.ts'

const KEY_PREFIX = 'postern:credential:'
/** After a failure Redis is left alone this long, so a frozen one costs one request its time-out and not all of them. */
const PAUSE_MS = 1000
const VALUE_CHARS_MAX = 16_384
/** Writes that Redis has not answered yet. */
const WRITES_MAX = 256

const PAUSED = new Error('Redis did not answer a moment ago')

/** `onChange` is told when sharing ends and when it comes back. */
export function redisCredentialStore(
  redis: Redis,
  onChange: (isShared: boolean, error: unknown) => void,
): CredentialStore {
  let pausedAtMs = Number.NEGATIVE_INFINITY
  let isShared = true
  let writes = 0

  return {
    async get(key) {
      if (performance.now() - pausedAtMs < PAUSE_MS) throw PAUSED
      try {
        const value = await redis.get(KEY_PREFIX + key)
        succeeded()
        return value === null || value.length > VALUE_CHARS_MAX ? null : value
      } catch (error) {
        failed(error)
        throw error
      }
    },
    set(key, sealed, lifeMs) {
      if (sealed.length > VALUE_CHARS_MAX || lifeMs < 1 || writes >= WRITES_MAX) return
      if (performance.now() - pausedAtMs < PAUSE_MS) return
      writes += 1
      redis
        .set(KEY_PREFIX + key, sealed, 'PX', Math.floor(lifeMs))
        .then(succeeded, failed)
        .finally(() => {
          writes -= 1
        })
    },
  }

  function succeeded(): void {
    if (!isShared) onChange(true, null)
    isShared = true
  }

  function failed(error: unknown): void {
    pausedAtMs = performance.now()
    if (isShared) onChange(false, error)
    isShared = false
  }
}
