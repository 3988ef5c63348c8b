/** One Redis connection that never hangs: each command is answered, refused or given up within a bound, and it reconnects by itself. */

import { type Command, Redis } from 'ioredis'

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
    connectTimeout: CONNECT_TIMEOUT_MS,
    enableOfflineQueue: false,
    lazyConnect: true,
    keepAlive: 10_000,
    retryStrategy: (attempt) => Math.min(attempt * 50, RECONNECT_MS_MAX),
  })
  giveUpInTime(redis)
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

/**
 * In place of the client's own time-out. A busy event loop looks at its timers before its sockets, so a command whose time is up
 * gets one more look at what has arrived: a reply that is here is no outage, however late this process gets round to it.
 */
function giveUpInTime(redis: Redis): void {
  const send = redis.sendCommand.bind(redis)
  redis.sendCommand = (command: Command, ...more) => {
    const sent = send(command, ...more)
    const giveUp = () => command.reject(new Error(`Redis did not answer within ${COMMAND_TIMEOUT_MS} ms`))
    const timer = setTimeout(() => setImmediate(giveUp), COMMAND_TIMEOUT_MS)
    const stop = () => clearTimeout(timer)
    command.promise.then(stop, stop)
    return sent
  }
}
