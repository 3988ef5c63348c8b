/** The audit trail on both databases: durable before anything is done, bounded against strangers, and nothing of it hides. */

import { afterEach, describe, expect, test } from 'vitest'
import type { AuditRecord, AuditTrail, Database } from '../ports.ts'
import { createStore, STORE_KINDS, type TestStore } from '../test/ports/identity.ts'
import { auditTrail, migrateAudit } from './audit.ts'

const DAY_MS = 86_400_000
const event = { actor: 'cli', action: 'revoke key', target: 'key:k1', requestId: '-', clientAddress: null }

describe.each(STORE_KINDS)('on %s', (kind) => {
  let store: TestStore | null = null
  let database: Database
  let nowMs = 1_800_000_000_000
  let told: AuditRecord[] = []
  let faults: unknown[] = []

  async function open(): Promise<AuditTrail> {
    told = []
    faults = []
    store = await createStore(kind)
    database = await store.open()
    await migrateAudit(database, nowMs)
    return auditTrail({
      database,
      nowMs: () => nowMs,
      tell: (record) => void told.push(record),
      log: (error) => void faults.push(error),
    })
  }
  afterEach(async () => {
    await database.close()
    await store?.remove()
  })
  const rows = () => database.query('select id, actor, target, outcome, detail from postern_audit order by at_ms')

  test('[FR-037] what was begun is there before it is done, and its end is there after', async () => {
    const audit = await open()
    const id = await audit.begin(event)
    expect(await rows()).toEqual([{ id, actor: 'cli', target: 'key:k1', outcome: 'begun', detail: '' }])
    await audit.end(id, event, 'done', '7')
    expect(await rows()).toEqual([{ id, actor: 'cli', target: 'key:k1', outcome: 'done', detail: '7' }])
    expect(told).toMatchObject([{ id, outcome: 'done', detail: '7', atMs: nowMs }])
  })

  test('[FR-037] what cannot be written rejects; a refusal that cannot be is still told', async () => {
    const audit = await open()
    await database.query('drop table postern_audit')
    await expect(audit.begin(event)).rejects.toThrow()
    await audit.end('x', event, 'done', '')
    await audit.refuse(event, 'role.missing')
    expect(told.map(({ outcome }) => outcome)).toEqual(['done', 'refused'])
    expect(faults).toHaveLength(2)
  })

  test('[FR-037] strangers cannot fill the database: refusals are bounded, what is done is not', async () => {
    const audit = await open()
    for (let at = 0; at < 150; at += 1) await audit.refuse(event, 'credential.missing')
    expect(await rows()).toHaveLength(120)
    expect(told).toHaveLength(150)
    await audit.begin(event)
    expect(await rows()).toHaveLength(121)
    nowMs += 60_000
    await audit.refuse({ ...event, target: `${'\0'}${'x'.repeat(5000)}` }, 'credential.missing')
    const last = (await rows()).at(-1)!
    expect(last.target).toBe(`?${'x'.repeat(511)}`)
  })

  test('[FR-037] old refusals go, and what was done stays for good', async () => {
    const audit = await open()
    await audit.refuse(event, 'credential.missing')
    await audit.end(await audit.begin(event), event, 'done', '')
    await migrateAudit(database, nowMs + 89 * DAY_MS)
    expect(await rows()).toHaveLength(2)
    await migrateAudit(database, nowMs + 91 * DAY_MS)
    expect(await rows()).toMatchObject([{ outcome: 'done' }])
  })

  test('[FR-037] old refusals go from a gateway that runs for months, too', async () => {
    const audit = await open()
    for (let at = 0; at < 3; at += 1) await audit.refuse(event, 'credential.missing')
    nowMs += 91 * DAY_MS
    await audit.refuse(event, 'role.missing')
    expect(await rows()).toMatchObject([{ detail: 'role.missing' }])
  })
})
