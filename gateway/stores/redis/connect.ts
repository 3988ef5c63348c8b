/** One Redis connection that never hangs: each command is answered, refused or given up within a bound, and it reconnects by itself. */

import { Redis } from 'ioredis'

const COMMAND_TIMEOUT_MS = 200
const CONNECT_TIMEOUT_MS = 300
const RECONNECT_MS_MAX = 2000

/**
 * Resolves when Redis answers, and rejects when it does not at first: a gateway told to use Redis does not start without it.
 * `onFault` hears of what goes wrong later. Messages never hold the URL.
 */
export async function connectRedis(url: string, onFault: (error: unknown) => void): Promise<Redis> {
  const redis = new Redis(url, {
    maxRetriesPerRequest: 1,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    enableOfflineQueue: false,
    lazyConnect: true,
    keepAlive: 10_000,
    retryStrategy: (attempt) => Math.min(attempt * 50, RECONNECT_MS_MAX),
  })
  let isSaid = false
  redis.on('error', (error: unknown) => {
    if (!isSaid) onFault(error) // once per outage, and not at every attempt to reconnect
    isSaid = true
  })
  redis.on('ready', () => {
    isSaid = false
  })
  try {
    await redis.connect()
    await redis.ping()
    return redis
  } catch (error) {
    redis.disconnect()
    const code = (error as { code?: unknown } | null)?.code
    throw new Error(
      `Redis cannot be reached: ${typeof code === 'string' ? code : 'no answer'}. Check store.redis and that Redis runs.`,
    )
  }
}
