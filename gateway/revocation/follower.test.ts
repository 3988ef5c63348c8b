/** A node's copy of the log: complete or old, never guessing; whatever the carrier and a restored database do to it. */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Carrier, RevokedNames } from '../ports.ts'
import { encodeEntry, type LogEntry } from './entry.ts'
import { createFollower, type Follower } from './follower.ts'
import type { LogPage, LogRow, Written } from './log.ts'
import { EVERYTHING } from './names.ts'

const MAX_MS = 5000
const POLL_MS = 2500
const SEAL = {
  sealOf: (text: string) => `seal(${text})`,
  isSealed: (text: string, seal: string) => seal === `seal(${text})`,
}

function written(sequence: number, name: string, id = `id-${sequence}`): Written {
  const entry: LogEntry = { sequence, id, effect: 'refresh', name, notBeforeMs: 0, expiresAtMs: 1e12, subject: null }
  const text = encodeEntry(entry)
  return { entry, row: { sequence, entry: text, seal: SEAL.sealOf(text) } }
}

const proof = (sequence: number, ...names: string[]) => ({ sequence, names, issuedAtMs: null })

/** A database that a test writes by hand, pages of two rows, and clocks that stand until told. */
function stage(options: { carrier?: boolean; isAlone?: boolean } = {}) {
  const table: LogRow[] = []
  const clock = { monotonicMs: 1000, wallMs: 1_000_000 }
  const database = { isUp: true, reads: 0, hang: null as Promise<void> | null, head: null as number | null }
  const sent: string[] = []
  const told: RevokedNames[] = []
  const logged: unknown[] = []
  let receive: (message: string) => void = () => {}
  let gap: () => void = () => {}
  const state = { takes: true, rewinds: 0 }
  const carrier: Carrier = {
    async publish(messages) {
      if (!state.takes) throw new Error('away')
      sent.push(...messages)
    },
    subscribe(onMessage, onGap) {
      receive = onMessage
      gap = onGap
    },
    close() {},
  }
  const follower: Follower = createFollower({
    reader: {
      async read(from): Promise<LogPage> {
        database.reads += 1
        await database.hang
        if (!database.isUp) throw new Error('the database is away')
        const rows = table.filter(({ sequence }) => sequence >= from)
        const head = database.head ?? table.at(-1)?.sequence ?? 0
        return { head, rows: rows.slice(0, 2), isComplete: rows.length <= 2 }
      },
    },
    seal: SEAL,
    carrier: options.carrier === false ? null : carrier,
    isAlone: options.isAlone ?? false,
    maxStalenessMs: MAX_MS,
    pollMs: POLL_MS,
    nowMs: () => clock.wallMs,
    monotonicMs: () => clock.monotonicMs,
    log: (error) => logged.push(error),
    onRewind: () => {
      state.rewinds += 1
    },
  })
  follower.subscribe((batch) => told.push(batch))
  const pass = (ms: number) => {
    clock.monotonicMs += ms
    clock.wallMs += ms
  }
  return {
    ...{ table, clock, database, sent, told, logged, state, follower, pass },
    insert: (...given: Written[]) => table.push(...given.map(({ row }) => row)),
    bring: (given: Written | string) => receive(typeof given === 'string' ? given : JSON.stringify(given.row)),
    gap: () => gap(),
  }
}

let open: Follower | null = null
async function started(options?: Parameters<typeof stage>[0], ...rows: Written[]) {
  const all = stage(options)
  all.insert(...rows)
  open = all.follower
  await all.follower.start()
  return all
}

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  open?.close()
  vi.useRealTimers()
})

describe('reading', () => {
  test('[FR-033] nothing starts without one complete read', async () => {
    const { follower, database } = stage()
    open = follower
    database.isUp = false
    await expect(follower.start()).rejects.toThrow('away')
    expect(follower.isFresh()).toBe(false)
  })

  test('[FR-033] all pages are read, and then every older proof of those names is dead', async () => {
    const rows = [1, 2, 3, 4, 5].map((at) => written(at, `n${at}`))
    const { follower } = await started({}, ...rows)
    expect(follower.sequence).toBe(5)
    expect(follower.isDead(proof(4, 'n5'))).toBe(true)
    expect(follower.isDead(proof(5, 'n5'))).toBe(false)
  })

  test('[FR-033] the database is read at least twice per bound, whatever the carrier says', async () => {
    const { follower, insert, database } = await started()
    insert(written(1, 'ada'))
    const before = database.reads
    await vi.advanceTimersByTimeAsync(MAX_MS)
    expect(database.reads - before).toBeGreaterThanOrEqual(2)
    expect(follower.isDead(proof(0, 'ada'))).toBe(true)
  })

  test('[FR-033] entries that have expired may be missing at the first read', async () => {
    const { follower } = await started({}, written(3, 'a'), written(7, 'b'))
    expect(follower.sequence).toBe(7)
  })

  test('[FR-033] the newest may not: then nobody knows what else is', async () => {
    const all = stage()
    open = all.follower
    all.insert(written(1, 'a'))
    all.database.head = 2
    await expect(all.follower.start()).rejects.toThrow('newest')
  })
})

describe('age', () => {
  test('[FR-035] it is counted from the start of the last complete read', async () => {
    const { follower, pass, database } = await started()
    let land = () => {}
    database.hang = new Promise((resolve) => {
      land = resolve
    })
    const caught = follower.catchUp()
    pass(3000)
    land()
    expect(await caught).toBe(true)
    expect(follower.status().ageMs).toBe(3000)
  })

  test('[FR-035] past the bound it is not fresh, and a margin makes that earlier', async () => {
    const { follower, pass } = await started()
    pass(MAX_MS)
    expect(follower.isFresh()).toBe(true)
    expect(follower.isFresh(1)).toBe(false)
    pass(1)
    expect(follower.isFresh()).toBe(false)
  })

  test('[FR-035] whichever clock says more is believed: one stands still while a machine sleeps', async () => {
    for (const name of ['monotonicMs', 'wallMs'] as const) {
      const { follower, clock } = await started()
      clock[name] += MAX_MS + 1
      expect(follower.isFresh()).toBe(false)
      open?.close()
    }
  })

  test('[FR-035] a read that fails makes nothing young, and one that succeeds does', async () => {
    const { follower, pass, database } = await started()
    pass(MAX_MS + 1)
    database.isUp = false
    expect(await follower.catchUp()).toBe(false)
    expect(follower.isFresh()).toBe(false)
    database.isUp = true
    expect(await follower.catchUp()).toBe(true)
    expect(follower.isFresh()).toBe(true)
  })

  test('[FR-035] who asks while a read is under way gets one that began after', async () => {
    const { follower, database, insert } = await started()
    let land = () => {}
    database.hang = new Promise((resolve) => {
      land = resolve
    })
    const first = follower.catchUp()
    const before = database.reads
    const second = follower.catchUp()
    const third = follower.catchUp()
    insert(written(1, 'late'))
    land()
    expect(await Promise.all([first, second, third])).toEqual([true, true, true])
    expect(database.reads - before).toBe(1) // shared by the second and the third
    expect(follower.isDead(proof(0, 'late'))).toBe(true)
  })

  test('[FR-035] a database that hangs is given up after 250 ms', async () => {
    const { follower, database } = await started()
    database.hang = new Promise(() => {})
    const caught = follower.catchUp()
    await vi.advanceTimersByTimeAsync(250)
    expect(await caught).toBe(false)
  })
})

describe('the carrier', () => {
  test('[FR-033] an entry takes effect at once, and its number counts when the log itself says so', async () => {
    const { follower, bring, insert, told } = await started({}, written(1, 'a'))
    bring(written(2, 'ada'))
    expect(follower.sequence).toBe(1)
    expect(follower.isDead(proof(1, 'ada'))).toBe(true)
    expect(told.at(-1)).toEqual(new Set(['ada']))
    insert(written(2, 'ada'))
    expect(await follower.catchUp()).toBe(true)
    expect(follower.sequence).toBe(2)
    expect(follower.isDead(proof(2, 'ada'))).toBe(false)
  })

  test('[FR-033] an entry from further ahead kills what it names at once, and makes the log be read', async () => {
    const { follower, bring, insert } = await started({}, written(1, 'a'))
    bring(written(4, 'ada'))
    expect(follower.sequence).toBe(1)
    expect(follower.isDead(proof(1, 'ada'))).toBe(true)
    insert(written(2, 'b'), written(3, 'c'), written(4, 'ada'))
    await vi.advanceTimersByTimeAsync(0)
    expect(follower.sequence).toBe(4)
    expect(follower.isDead(proof(1, 'b'))).toBe(true)
  })

  test('[FR-033] old, forged and broken messages do nothing but count', async () => {
    const { follower, bring, database, told } = await started({}, written(1, 'a'), written(2, 'b'))
    const reads = database.reads
    const before = told.length
    bring(written(1, 'a'))
    const forged = written(3, EVERYTHING)
    for (const message of [
      JSON.stringify({ ...forged.row, seal: 'mine' }),
      JSON.stringify({ ...written(3, 'x').row, sequence: 900 }),
      JSON.stringify({ ...written(2, 'b').row, sequence: 3 }),
      'null',
      '{}',
      'x'.repeat(10_000),
    ]) {
      bring(message)
    }
    expect(follower.sequence).toBe(2)
    expect(follower.isDead(proof(2, 'a', 'b', 'x'))).toBe(false)
    expect(told.length).toBe(before)
    expect(database.reads).toBe(reads)
    expect(follower.status().badSeals).toBe(6)
  })

  test('[FR-033] messages that may be missing make the log be read', async () => {
    const { follower, gap, insert } = await started()
    insert(written(1, 'ada'))
    gap()
    await vi.advanceTimersByTimeAsync(0)
    expect(follower.isDead(proof(0, 'ada'))).toBe(true)
  })

  test('[FR-033] what this node wrote takes effect before it is passed on, and whether it was is said', async () => {
    const { follower, sent, state, insert } = await started()
    const first = written(1, 'ada')
    insert(first)
    const carried = follower.commit([first])
    expect(follower.isDead(proof(0, 'ada'))).toBe(true)
    expect(await carried).toBe(true)
    expect(sent).toEqual([JSON.stringify(first.row)])
    state.takes = false
    expect(await follower.commit([written(2, 'bob')])).toBe(false)
    expect(follower.isDead(proof(1, 'bob'))).toBe(true)
  })

  test('[FR-034] without a carrier only a node that is alone has told everybody', async () => {
    const { follower } = await started({ carrier: false, isAlone: false })
    expect(await follower.commit([written(1, 'ada')])).toBe(false)
    open?.close()
    const alone = await started({ carrier: false, isAlone: true })
    expect(await alone.follower.commit([written(1, 'ada')])).toBe(true)
  })
})

describe('a log that was lost', () => {
  test('[FR-033] missing entries: everything remembered is dead, all is read again, and it serves on', async () => {
    const { follower, table, insert, told } = await started({}, written(1, 'a'), written(2, 'b'))
    table.length = 0
    insert(written(5, 'c'))
    expect(await follower.catchUp()).toBe(true)
    expect(follower.sequence).toBe(5)
    expect(follower.isDead(proof(2, 'never revoked'))).toBe(true)
    expect(follower.isDead(proof(5, 'never revoked'))).toBe(false)
    expect(told.at(-1)).toBeNull()
    expect(follower.status()).toMatchObject({ gaps: 1, rewinds: 0 })
  })

  test('[FR-033] a bad seal: it is as if the read had failed, until it is mended', async () => {
    const { follower, insert, table, pass } = await started({}, written(1, 'a'))
    insert(written(2, 'b'))
    table[1] = { ...table[1]!, seal: 'no' }
    pass(MAX_MS)
    expect(await follower.catchUp()).toBe(false)
    pass(1)
    expect(follower.isFresh()).toBe(false)
    expect(follower.sequence).toBe(1)
    table[1] = written(2, 'b').row
    expect(await follower.catchUp()).toBe(true)
    expect(follower.sequence).toBe(2)
  })

  const older = [
    ['a lower number', (table: LogRow[]) => table.splice(1)],
    [
      'another text under the newest number',
      (table: LogRow[]) => table.splice(2, 1, written(3, 'other', 'another').row),
    ],
    [
      'other entries past the newest number',
      (table: LogRow[]) => table.splice(2, 1, written(3, 'x', 'another').row, written(4, 'y', 'another').row),
    ],
  ] as const
  for (const [title, restore] of older) {
    test(`[FR-033] ${title}: a copy from before stands there, so it is told, and no older proof lives`, async () => {
      const { follower, table, state, told } = await started({}, written(1, 'a'), written(2, 'b'), written(3, 'c'))
      restore(table)
      expect(await follower.catchUp()).toBe(false)
      expect(state.rewinds).toBe(1)
      expect(told.at(-1)).toBeNull()
      expect(follower.isFresh()).toBe(false)
      for (const sequence of [0, 3, 4]) expect(follower.isDead(proof(sequence, 'never revoked'))).toBe(true)
      const { entry } = written(table.at(-1)!.sequence + 3, EVERYTHING)
      const text = encodeEntry({ ...entry, effect: 'end' })
      table.push({ sequence: entry.sequence, entry: text, seal: SEAL.sealOf(text) })
      expect(await follower.catchUp()).toBe(true)
      expect(follower.isFresh()).toBe(true)
      expect(follower.sequence).toBe(entry.sequence)
      for (const sequence of [0, 3]) expect(follower.isDead(proof(sequence, 'never revoked'))).toBe(true)
      expect(follower.isDead(proof(follower.sequence, 'never revoked'))).toBe(false)
      expect(state.rewinds).toBe(1)
    })
  }

  test('[FR-033] what the carrier brought of the old log is not kept for the new one', async () => {
    const { follower, table, bring } = await started({}, written(1, 'a'), written(2, 'b'), written(3, 'c'))
    bring(written(9, 'ghost'))
    table.length = 1
    expect(await follower.catchUp()).toBe(false)
    const text = encodeEntry({ ...written(4, EVERYTHING).entry, effect: 'end' })
    table.push({ sequence: 4, entry: text, seal: SEAL.sealOf(text) })
    expect(await follower.catchUp()).toBe(true)
    expect(follower.isDead(proof(follower.sequence, 'ghost'))).toBe(false)
  })
})

test('[FR-036] a listener that throws keeps the others from nothing', async () => {
  const { follower, bring, told, logged } = await started()
  const end = follower.subscribe(() => {
    throw new Error('a bug')
  })
  bring(written(1, 'ada'))
  expect(told).toEqual([new Set(['ada'])])
  expect(logged).toHaveLength(1)
  end()
  bring(written(2, EVERYTHING))
  expect(told.at(-1)).toBeNull()
  expect(logged).toHaveLength(1)
})
