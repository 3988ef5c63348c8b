/**
 * Carries entries of the revocation log to other nodes by a Redis stream: within milliseconds while it works. It may lose,
 * repeat or invent messages; whoever reads them checks their seals and reads the log itself whenever some may be missing.
 */

import { Redis } from 'ioredis'
import type { Carrier } from '../../ports.ts'

const STREAM = 'postern:revocations'
/** About what a node that was away for a second needs; one that was away longer reads the log. */
const STREAM_ENTRIES_MAX = 10_000
const BLOCK_MS = 1000
/** A block ends by itself, so silence for longer than this is a server that hangs. */
const SILENCE_MS = 2500
const PUBLISH_MS = 200
const RETRY_MS = 200
/** More at once is a flood, of which the newest matters as little as the rest: the log itself is read instead. */
const MESSAGES_PER_READ_MAX = 512
const FLOOD_PAUSE_MS = 50
const SPOILT = /^WRONGTYPE|equal or smaller|has exhausted/

type Reply = readonly (readonly [
  stream: string,
  entries: readonly (readonly [id: string, fields: readonly string[]])[],
])[]

/** `redis` publishes; reading blocks, so it has a connection of its own to the same `url`. */
export function redisCarrier(redis: Redis, url: string, log: (error: unknown) => void): Carrier {
  let reader: Redis | null = null
  let isClosed = false

  return {
    async publish(messages) {
      const batch = redis.pipeline()
      for (const message of messages) batch.xadd(STREAM, 'MAXLEN', '~', STREAM_ENTRIES_MAX, '*', 'row', message)
      const replies = await inTime(batch.exec(), PUBLISH_MS)
      for (const [error] of replies ?? []) {
        if (error === null) continue
        // Somebody else wrote there what no entry of ours can follow: away with it, so that the next publication can.
        if (SPOILT.test(error.message)) redis.unlink(STREAM).catch(() => {})
        throw error
      }
      if (replies?.length !== messages.length) throw new Error('Redis took only some of the messages')
    },
    subscribe(onMessage, onGap) {
      void follow(onMessage, onGap)
    },
    close() {
      isClosed = true
      reader?.disconnect()
    },
  }

  /** Reads for ever. Every connection begins with a gap: nobody knows what was missed before it. */
  async function follow(onMessage: (message: string) => void, onGap: () => void): Promise<void> {
    let isSaid = false
    while (!isClosed) {
      const connection = new Redis(url, {
        maxRetriesPerRequest: 0,
        connectTimeout: 1000,
        enableOfflineQueue: false,
        lazyConnect: true,
        keepAlive: 10_000,
        retryStrategy: () => null,
      })
      connection.on('error', () => {})
      reader = connection
      try {
        await inTime(connection.connect(), SILENCE_MS)
        let last = await newest(connection)
        onGap()
        isSaid = false
        while (!isClosed) last = await readOn(connection, last, onMessage, onGap)
      } catch (error) {
        if (isClosed) break
        if (!isSaid) log(error) // once per outage
        isSaid = true
        onGap()
      } finally {
        connection.disconnect()
      }
      if (!isClosed) await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }

  async function readOn(
    connection: Redis,
    last: string,
    onMessage: (message: string) => void,
    onGap: () => void,
  ): Promise<string> {
    const asked = connection.xread('COUNT', MESSAGES_PER_READ_MAX, 'BLOCK', BLOCK_MS, 'STREAMS', STREAM, last)
    const reply = (await inTime(asked, SILENCE_MS)) as Reply | null
    if (reply === null) {
      // A stream that was emptied or replaced gives its next entries lower numbers, and a reader waits past them for ever.
      const now = await newest(connection)
      if (now === last) return last
      onGap()
      return now
    }
    const entries = reply.flatMap(([, found]) => found)
    for (const [, [field, message]] of entries) if (field === 'row' && message !== undefined) onMessage(message)
    if (entries.length < MESSAGES_PER_READ_MAX) return entries.at(-1)?.[0] ?? last
    await new Promise((resolve) => setTimeout(resolve, FLOOD_PAUSE_MS))
    const now = await newest(connection)
    onGap()
    return now
  }
}

/** Id of the newest entry there has ever been; `0-0` where there is no stream. */
async function newest(connection: Redis): Promise<string> {
  const found = await inTime(connection.xrevrange(STREAM, '+', '-', 'COUNT', 1), SILENCE_MS)
  return found[0]?.[0] ?? '0-0'
}

async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Redis did not answer within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([work, deadline])
  } finally {
    clearTimeout(timer)
  }
}
