/** What a hostile carrier, a restored database and a full set of entries must not achieve. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Carrier } from '../ports.ts'
import { encodeEntry, type LogEntry } from './entry.ts'
import { createFollower, type Follower } from './follower.ts'
import { createLiveSet } from './live-set.ts'
import type { LogPage, LogRow, Written } from './log.ts'
import { EVERYTHING, nameOf } from './names.ts'

const SEAL = {
  sealOf: (text: string) => `seal(${text})`,
  isSealed: (text: string, seal: string) => seal === `seal(${text})`,
}

function written(sequence: number, name: string, id = `id-${sequence}`, more: Partial<LogEntry> = {}): Written {
  const entry: LogEntry = {
    sequence,
    id,
    effect: 'refresh',
    name,
    notBeforeMs: 0,
    expiresAtMs: 1e12,
    subject: null,
    ...more,
  }
  const text = encodeEntry(entry)
  return { entry, row: { sequence, entry: text, seal: SEAL.sealOf(text) } }
}
const endOfAll = (sequence: number) =>
  written(sequence, EVERYTHING, `end-${sequence}`, { effect: 'end', notBeforeMs: 500 })
const proof = (sequence: number, ...names: string[]) => ({ sequence, names, issuedAtMs: 400 })

function stage(pollMs = 2500) {
  const table: LogRow[] = []
  const reads = { head: null as number | null, begun: 0, atOnce: 0, most: 0, land: [] as (() => void)[], isHeld: false }
  const rewinds: unknown[][] = []
  let receive: (message: string) => void = () => {}
  let gap: () => void = () => {}
  const carrier: Carrier = {
    publish: async () => {},
    subscribe(onMessage, onGap) {
      receive = onMessage
      gap = onGap
    },
    close() {},
  }
  const follower: Follower = createFollower({
    reader: {
      async read(from): Promise<LogPage> {
        reads.begun += 1
        reads.atOnce += 1
        reads.most = Math.max(reads.most, reads.atOnce)
        const rows = table.filter(({ sequence }) => sequence >= from)
        const page = { head: reads.head ?? table.at(-1)?.sequence ?? 0, rows, isComplete: true }
        if (reads.isHeld) await new Promise<void>((resolve) => reads.land.push(resolve))
        reads.atOnce -= 1
        return page
      },
    },
    seal: SEAL,
    carrier,
    isAlone: false,
    maxStalenessMs: 5000,
    pollMs,
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    log: () => {},
    onRewind: (...given: unknown[]) => void rewinds.push(given),
  })
  open = follower
  return {
    ...{ table, follower, reads, rewinds },
    insert: (...given: Written[]) => void table.push(...given.map(({ row }) => row)),
    bring: (given: Written | string) => receive(typeof given === 'string' ? given : JSON.stringify(given.row)),
    gap: () => gap(),
  }
}

let open: Follower | null = null
beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  open?.close()
  vi.useRealTimers()
})

test('[FR-033] another log of the same length: what was remembered under the same number is dead', async () => {
  const { follower, insert, table } = stage()
  insert(written(1, 'a'), written(2, 'b'), written(3, 'c'))
  await follower.start()
  table.splice(2, 1, written(3, 'x', 'another').row)
  await follower.catchUp()
  expect(follower.isDead(proof(3, 'c')) || !follower.isFresh()).toBe(true)
})

test('[FR-033] a log that was set back: nothing is fresh before the end of everything that makes up for it', async () => {
  const { follower, insert, table, rewinds } = stage()
  insert(written(1, 'a'), written(2, 'b'), written(3, 'c'))
  await follower.start()
  table.length = 1
  expect(await follower.catchUp()).toBe(false)
  expect(follower.isFresh()).toBe(false)
  expect(rewinds).toEqual([[3]])
  await vi.advanceTimersByTimeAsync(4000) // the first attempt was lost with its database
  expect(rewinds.length).toBeGreaterThan(1)
  insert(endOfAll(4))
  expect(await follower.catchUp()).toBe(true)
  expect(follower.isFresh()).toBe(true)
  expect(follower.isEnded(proof(4, 'x'))).toBe(true)
})

test('[FR-033] a number that is given again revives nothing that was remembered under it before', async () => {
  const { follower, insert, table } = stage()
  insert(...[1, 2, 3, 4, 5, 6, 7, 8].map((at) => written(at, `n${at}`)))
  await follower.start()
  table.length = 2
  await follower.catchUp()
  // What the provider appends, and then an ordinary day.
  insert(follower.isFresh() ? endOfAll(3) : endOfAll(9))
  for (let at = table.at(-1)!.sequence + 1; at < 12; at += 1) insert(written(at, `m${at}`))
  await follower.catchUp()
  expect(follower.isFresh()).toBe(true)
  // Memory asks isDead alone for what it remembers.
  expect(follower.isDead(proof(8, 'ada'))).toBe(true)
})

test('[FR-033] entries of a log that is no more, replayed by whoever writes to Redis, end nobody for good and set nothing back', async () => {
  const { follower, insert, bring, rewinds } = stage()
  insert(written(1, 'a'), endOfAll(2))
  await follower.start()
  bring(written(3, 'ghost', 'of the old log', { effect: 'end' }))
  insert(written(3, 'x'))
  await vi.advanceTimersByTimeAsync(3000)
  expect(await follower.catchUp()).toBe(true)
  expect(rewinds).toEqual([])
  expect(follower.sequence).toBe(3)
  expect(follower.isEnded({ sequence: 3, names: ['ghost'], issuedAtMs: 9e9 })).toBe(false)
})

test('[FR-033] there are never two reads at once', async () => {
  const { follower, reads, insert } = stage()
  await follower.start()
  reads.isHeld = true
  insert(written(1, 'a'))
  for (let at = 0; at < 20; at += 1) {
    // Whoever is told of the end of a read may ask for the next one at once.
    void follower.catchUp().then(() => void follower.catchUp())
    void follower.catchUp()
    queueMicrotask(() => queueMicrotask(() => void follower.catchUp()))
    reads.land.shift()?.()
    for (let tick = 0; tick < 12; tick += 1) {
      await Promise.resolve()
      if (tick % 3 === 0) void follower.catchUp()
    }
  }
  expect(reads.most).toBe(1)
  reads.isHeld = false
  for (const land of reads.land) land()
})

test('[FR-033] a carrier that cries gap, or announces what is not there, costs a bounded number of reads', async () => {
  const { follower, gap, bring, reads } = stage()
  await follower.start()
  const before = reads.begun
  for (let at = 0; at < 1000; at += 1) {
    gap()
    bring(written(100 + at, `n${at}`))
    await vi.advanceTimersByTimeAsync(1)
  }
  expect(reads.begun - before).toBeLessThanOrEqual(1000 / 50 + 3)
})

test('[FR-033] at the cap a key that signs nothing any more stays so, whatever dates its tokens bear', () => {
  const live = createLiveSet(10)
  const stolen = nameOf.kid('ci', 'k1')
  const end = (sequence: number, name: string): LogEntry => ({
    ...{ sequence, id: `${sequence}`, effect: 'end', name, notBeforeMs: 1000, expiresAtMs: 1e12, subject: null },
  })
  live.apply([end(1, stolen)])
  for (let at = 2; at < 40; at += 1) live.apply([end(at, nameOf.subject(`u${at}`))])
  expect(live.isEnded({ sequence: 99, names: [stolen], issuedAtMs: 5000 })).toBe(true)
})

test('[FR-033] at the cap a token stays ended where two entries say differently whose it is', () => {
  const live = createLiveSet(10)
  const token = nameOf.token('ci', 't1')
  const end = (sequence: number, name: string, subject: string | null): LogEntry => ({
    ...{ sequence, id: `${sequence}`, effect: 'end', name, notBeforeMs: 1000, expiresAtMs: 1e12, subject },
  })
  live.apply([end(1, token, 'ci:eve'), end(2, token, 'ci:ada')])
  for (let at = 3; at < 14; at += 1) live.apply([end(at, nameOf.token('ci', `t${at}`), 'ci:eve')])
  expect(live.isEnded({ sequence: 99, names: [token, nameOf.subject('ci:ada')], issuedAtMs: 900 })).toBe(true)
})

test('[FR-033] without an entry nothing is ended, dated or not', () => {
  expect(createLiveSet().isEnded({ sequence: 0, names: ['x'], issuedAtMs: null })).toBe(false)
})

test('[FR-033] a page that is empty and not the last is an error, not an endless loop', async () => {
  let reads = 0
  const follower = createFollower({
    reader: {
      async read() {
        reads += 1
        if (reads > 50) throw new Error('an endless loop')
        return { head: 3, rows: [], isComplete: false }
      },
    },
    ...{ seal: SEAL, carrier: null, isAlone: true, maxStalenessMs: 5000, pollMs: 2500 },
    ...{ nowMs: Date.now, monotonicMs: () => performance.now(), log: () => {}, onRewind: () => {} },
  })
  open = follower
  await expect(follower.start()).rejects.toThrow()
  expect(reads).toBeLessThan(3)
})

test('[FR-033] a proof with a number that this node has not reached says nothing', async () => {
  const { follower, insert } = stage()
  insert(written(1, 'a'))
  await follower.start()
  expect(follower.isDead(proof(2, 'x'))).toBe(true)
  expect(follower.isDead(proof(1, 'x'))).toBe(false)
})

test('[FR-033] an old end of everything does not make up for a log that was set back', async () => {
  const { follower, insert, table, rewinds } = stage()
  insert(written(1, 'a'), endOfAll(2), written(3, 'c'))
  await follower.start()
  table.length = 2
  expect(await follower.catchUp()).toBe(false)
  expect(follower.isFresh()).toBe(false)
  expect(rewinds).toEqual([[3]])
})

test('[FR-033] an end that is carried ends at once', async () => {
  const { follower, bring } = stage()
  await follower.start()
  bring(written(2, 'key:k', 'id', { effect: 'end' }))
  expect(follower.isEnded(proof(9, 'key:k'))).toBe(true)
  expect(follower.isEnded(proof(9, 'key:l'))).toBe(false)
})

test('[FR-033] the log is read twice in each bound, however seldom it is asked for', async () => {
  const { follower, reads } = stage(60_000)
  await follower.start()
  await vi.advanceTimersByTimeAsync(10_000)
  expect(reads.begun).toBeGreaterThanOrEqual(4)
})

test('[FR-033] a message longer than any entry is not looked into, seal or no seal', async () => {
  const { follower, bring } = stage()
  await follower.start()
  bring(written(1, 'x'.repeat(70_000)))
  expect(follower.status().badSeals).toBe(1)
})

test('[FR-033] what is carried and cannot be read yet is held up to a bound', async () => {
  const { follower, bring, reads } = stage()
  await follower.start()
  reads.isHeld = true
  for (let at = 1; at <= 10_001; at += 1) bring(written(at, `n${at}`))
  expect(follower.isEnded(proof(0, 'n1'))).toBe(false)
  expect(follower.isDead({ ...proof(0, 'n10000'), sequence: 0 })).toBe(true)
  expect(follower.isDead({ ...proof(0, 'n10001'), sequence: 0 })).toBe(false)
  for (const land of reads.land) land()
})

test('[FR-033] what this node wrote under a number that it knows with another text makes the log be read', async () => {
  const { follower, insert, table, rewinds } = stage()
  insert(written(1, 'a'), written(2, 'b'))
  await follower.start()
  const own = written(2, 'own', 'after the log was set back')
  table.splice(1, 1, own.row)
  expect(await follower.commit([own])).toBe(true)
  await vi.advanceTimersByTimeAsync(10)
  expect(rewinds).toEqual([[2]])
})

test('[FR-033] an own entry that follows the newest known number hides no log that was set back and written on before it', async () => {
  const { follower, insert, table, rewinds } = stage()
  insert(written(1, 'a'), written(2, 'b'), written(3, 'c'))
  await follower.start()
  // Set back to 2; another node, which knows nothing of it, revokes ada; and then this one writes.
  table.splice(2, 1, written(3, 'ada', 'after the log was set back').row)
  const own = written(4, 'bob')
  insert(own)
  expect(await follower.commit([own])).toBe(true)
  expect(follower.sequence).toBe(4)
  await follower.catchUp()
  expect(rewinds).toEqual([[4]])
  expect(follower.isDead(proof(2, 'ada')) && follower.isDead(proof(4, 'ada'))).toBe(true)
})

test('[FR-033] what this node wrote and never found again was lost with its log', async () => {
  const { follower, insert, table } = stage()
  insert(written(1, 'a'))
  await follower.start()
  const own = [written(2, 'b'), written(3, 'key:c', 'own', { effect: 'end' })]
  insert(...own)
  for (const one of own) await follower.commit([one])
  // Set back to 1, and another node is first to write on.
  table.splice(1, 2, written(2, 'ada', 'another').row, written(3, 'x', 'another').row, endOfAll(4).row)
  expect(await follower.catchUp()).toBe(true)
  expect(follower.status().rewinds).toBe(1)
  // A number of the lost log means something else now.
  expect(follower.isEnded({ sequence: 4, names: ['key:c'], issuedAtMs: 9e9 })).toBe(false)
})

test('[FR-033] what this node commits while a log that was set back is read takes effect all the same', async () => {
  const { follower, insert, table, reads } = stage()
  insert(written(1, 'a'), written(2, 'b'), written(3, 'c'))
  await follower.start()
  table.splice(2, 1, written(3, 'x', 'another').row, endOfAll(4).row)
  reads.isHeld = true
  const caught = follower.catchUp()
  // The first page tells that it was set back; the second is all there is now, and was read before the commit.
  reads.land.shift()!()
  await vi.advanceTimersByTimeAsync(1)
  const own = written(5, 'key:k', 'own', { effect: 'end' })
  insert(own)
  void follower.commit([own])
  reads.isHeld = false
  reads.land.shift()!()
  await caught
  expect(follower.isEnded({ sequence: 4, names: ['key:k'], issuedAtMs: 9e9 })).toBe(true)
})

test('[FR-036] what this node wrote is told once, and not again when it is read', async () => {
  const { follower, insert } = stage()
  await follower.start()
  const told: unknown[] = []
  follower.subscribe((names) => told.push(names))
  const own = written(1, 'ada')
  insert(own, written(2, 'bob'))
  await follower.commit([own])
  await follower.catchUp()
  expect(told).toEqual([new Set(['ada']), new Set(['bob'])])
})

test('[FR-033] a log that ends before its own count is not complete', async () => {
  const { follower, insert, reads } = stage()
  insert(written(1, 'a'))
  await follower.start()
  reads.head = 2
  expect(await follower.catchUp()).toBe(false)
})

test('[FR-033] rows out of order are no log', async () => {
  const { follower, insert } = stage()
  insert(written(2, 'b'), written(1, 'a'))
  await expect(follower.start()).rejects.toThrow('order')
})
