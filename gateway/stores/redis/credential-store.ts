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
  /** After a pause one request finds out whether Redis is back; the others do not wait with it. */
  let isProbing = false
  let writes = 0

  return {
    async get(key) {
      if (isLeftAlone()) throw PAUSED
      const isProbe = !isShared
      isProbing ||= isProbe
      try {
        // No more than may be believed is fetched, whatever somebody else put there.
        const value = await redis.getrange(KEY_PREFIX + key, 0, VALUE_CHARS_MAX)
        succeeded()
        return value === '' || value.length > VALUE_CHARS_MAX ? null : value
      } catch (error) {
        if (isOfAnotherKind(error)) {
          succeeded()
          return null
        }
        failed(error)
        throw error
      } finally {
        if (isProbe) isProbing = false
      }
    },
    set(key, sealed, lifeMs) {
      if (sealed.length > VALUE_CHARS_MAX || lifeMs < 1 || writes >= WRITES_MAX) return
      if (!isShared || isLeftAlone()) return
      writes += 1
      redis
        .set(KEY_PREFIX + key, sealed, 'PX', Math.floor(lifeMs))
        .catch((error: unknown) => {
          // Redis that is full still answers what it has.
          if (!isReply(error)) failed(error)
        })
        .finally(() => {
          writes -= 1
        })
    },
  }

  function isLeftAlone(): boolean {
    return isProbing || performance.now() - pausedAtMs < PAUSE_MS
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

function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}

/** Somebody put another kind of value under one of our names, which says nothing about the others. */
function isOfAnotherKind(error: unknown): boolean {
  return isReply(error) && (error as Error).message.startsWith('WRONGTYPE')
}
