/** The fast carrier on a real Redis: what it brings, and what it says when it may have lost something. Nothing hangs, and it comes back. */

import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Carrier } from '../../ports.ts'
import { type Switch, startSwitch, until } from '../../test/ports/switch.ts'
import { type PrivateServer, startRedis } from '../../test/support/servers.ts'
import { redisCarrier } from './carrier.ts'
import { connectRedis } from './connect.ts'

let server: PrivateServer
let between: Switch
let publisher: Redis
let carrier: Carrier
let direct: Redis
let messages: string[]
let gaps: number

beforeAll(async () => {
  server = await startRedis()
  between = await startSwitch(server.url)
})
afterAll(async () => {
  await between.close()
  await server.close()
})

beforeEach(async () => {
  messages = []
  gaps = 0
  direct = new Redis(server.url)
  direct.on('error', () => {})
  await direct.flushall()
  publisher = await connectRedis(between.url, () => {})
  carrier = redisCarrier(publisher, between.url, () => {})
  carrier.subscribe(
    (message) => messages.push(message),
    () => {
      gaps += 1
    },
  )
  await until(() => gaps > 0)
})
afterEach(() => {
  carrier.close()
  publisher.disconnect()
  direct.disconnect()
})

/** Publishes until one arrives, as a node that goes on would. */
async function worksAgain(): Promise<void> {
  let at = 0
  await until(async () => {
    at += 1
    await carrier.publish([`again ${at}`]).catch(() => {})
    return messages.some((message) => message.startsWith('again'))
  })
}

test('[FR-033] messages arrive in order and whole, those of one publication too', async () => {
  await carrier.publish(['one', 'two'])
  await carrier.publish([JSON.stringify({ text: 'drei ✓', n: 3 })])
  await until(() => messages.length === 3)
  expect(messages).toEqual(['one', 'two', '{"text":"drei ✓","n":3}'])
})

test('[FR-033] the stream is bounded', async () => {
  const batch = Array.from({ length: 500 }, (_, at) => `m${at}`)
  for (let at = 0; at < 30; at += 1) await carrier.publish(batch)
  expect(await direct.xlen('postern:revocations')).toBeLessThan(11_000)
})

test('[FR-033] a frozen server: a publication is given up within its bound, the reader notices and resumes', async () => {
  server.pause()
  const startedAtMs = performance.now()
  await expect(carrier.publish(['lost'])).rejects.toThrow()
  expect(performance.now() - startedAtMs).toBeLessThan(1000)
  const before = gaps
  await until(() => gaps > before)
  server.resume()
  await worksAgain()
})

test('[FR-033] killed and back empty: a gap is said, and messages flow again', async () => {
  await carrier.publish(['before'])
  await until(() => messages.length === 1)
  const before = gaps
  await server.kill()
  await expect(carrier.publish(['lost'])).rejects.toThrow()
  await server.start()
  await until(() => gaps > before)
  await worksAgain()
})

test('[FR-033] a connection that is reset: a gap is said, and messages flow again', async () => {
  const before = gaps
  await between.cut()
  await between.mend()
  await until(() => gaps > before)
  await worksAgain()
})

test('[FR-033] full: the publication is refused, and so not taken for carried', async () => {
  await direct.config('SET', 'maxmemory', '1')
  try {
    await expect(carrier.publish(['lost'])).rejects.toThrow(/OOM/)
  } finally {
    await direct.config('SET', 'maxmemory', '0')
  }
  await worksAgain()
})

const hostile = [
  ['trimmed to nothing', () => direct.xtrim('postern:revocations', 'MAXLEN', 0)],
  ['deleted', () => direct.del('postern:revocations')],
  ['flushed', () => direct.flushall()],
] as const
for (const [what, act] of hostile) {
  test(`[FR-033] ${what}: a gap is said, and messages flow again`, async () => {
    await carrier.publish(['before'])
    await until(() => messages.length === 1)
    const before = gaps
    await act()
    await until(() => gaps > before)
    await worksAgain()
  })
}

test('[FR-033] another kind of value in the stream’s place: the publication is refused, and it mends by itself', async () => {
  await direct.set('postern:revocations', 'mine')
  await expect(carrier.publish(['lost'])).rejects.toThrow(/WRONGTYPE/)
  await worksAgain()
})

test('[FR-033] the highest number taken by somebody else: the publication is refused, not lost in silence, and it mends by itself', async () => {
  await direct.xadd('postern:revocations', '18446744073709551615-18446744073709551615', 'row', 'junk')
  await expect(carrier.publish(['lost'])).rejects.toThrow(/ERR/)
  await worksAgain()
})

test('[FR-033] fields that are none of ours are passed over', async () => {
  await direct.xadd('postern:revocations', '*', 'other', 'x')
  await direct.xadd('postern:revocations', '*', 'other', 'row', 'row', 'x')
  await carrier.publish(['ours'])
  await until(() => messages.includes('ours'))
  expect(messages).toEqual(['ours'])
})

test('[FR-033] a flood is not read to its end: what was passed over is a gap, and then messages flow again', async () => {
  const before = gaps
  for (let at = 0; at < 10; at += 1) {
    const batch = direct.pipeline()
    for (let of = 0; of < 3000; of += 1) batch.xadd('postern:revocations', '*', 'row', `junk ${at} ${of}`)
    await batch.exec()
  }
  await carrier.publish(['end of the flood']).catch(() => {})
  await until(() => gaps > before)
  await worksAgain()
  expect(messages.length).toBeLessThan(20_000)
})
