/** The memory of sessions: order, deadlines and ends, with every race set up by hand. */

import { expect, test } from 'vitest'
import type { Authentication, Refusal } from '../model.ts'
import { primitives } from '../node/crypto.ts'
import { cookieCodec } from './cookie.ts'
import { createRevocations } from './revocations.ts'
import type { SessionKey, SessionRow } from './session-rows.ts'
import { createSessions } from './sessions.ts'

const TOKEN = 'abcdefghijklmnopqrstuvwxyzABCDEF'
const NOW_MS = 1_800_000_000_000
const IDLE_MS = 3_600_000
const MAX_MS = 86_400_000
const ROW: SessionRow = {
  id: 's_1',
  token: TOKEN,
  createdAtMs: NOW_MS,
  expiresAtMs: NOW_MS + IDLE_MS,
  authenticatedAtMs: NOW_MS,
  methods: ['pwd'],
  isRemembered: true,
  user: { id: 'u_1', email: 'a@example.com', emailVerified: true, name: 'Ada', roles: ['user'], bannedUntilMs: null },
}

/** Sessions over rows whose reading the test controls: order is what is tested, and no database lets a test set it. */
function stage(first: SessionRow | null = ROW) {
  const revocations = createRevocations()
  const cookies = cookieCodec(primitives, ['new key', 'old key'], { name: 'c', isSecure: false })
  const state = { row: first, isHeld: false, isDown: false, reads: 0, extensions: [] as number[], canWrite: true }
  const held: (() => void)[] = []
  const rows = {
    async find(_key: SessionKey) {
      state.reads += 1
      const { row } = state
      if (state.isHeld) await new Promise<void>((resolve) => held.push(resolve))
      if (state.isDown) throw new Error('down')
      return row
    },
    async extend(_token: string, expiresAtMs: number) {
      if (!state.canWrite) throw new Error('read-only')
      state.extensions.push(expiresAtMs)
      if (state.row === null) return false
      state.row = { ...state.row, expiresAtMs }
      return true
    },
  }
  const logged: unknown[] = []
  const settings = { issuer: 'http://localhost', idleMs: IDLE_MS, maxMs: MAX_MS }
  const sessions = createSessions({ rows, cookies, revocations, settings, log: (error) => logged.push(error) })
  const cookie = cookies.sign(TOKEN)
  return {
    state,
    revocations,
    cookies,
    logged,
    sessions,
    cookie,
    release: () => {
      for (const resolve of held.splice(0)) resolve()
    },
    ask: (nowMs = NOW_MS, value = cookie) => sessions.verifyCookie(value, nowMs),
  }
}

const principalIn = (found: Authentication | Refusal) => ('principal' in found ? found.principal : found.reason)

test('[FR-009] an entry is believed for five seconds from before it was read, then read again', async () => {
  const { ask, state } = stage()
  await ask()
  await ask(NOW_MS + 4999)
  expect(state.reads).toBe(1)
  await ask(NOW_MS + 5000)
  expect(state.reads).toBe(2)
})

test('[FR-009] a clock that was set back does not make an entry live on', async () => {
  const { ask, state } = stage()
  await ask()
  await ask(NOW_MS - 3_600_000)
  expect(state.reads).toBe(2)
})

test('[FR-009] a look-up that began before a revocation is neither served nor remembered after it', async () => {
  const { ask, state, revocations, release } = stage()
  state.isHeld = true
  const asking = ask()
  // The write happens while the look-up holds what it read before.
  state.row = null
  revocations.revoke([{ kind: 'subject', id: 'u_1' }])
  state.isHeld = false
  release()
  expect(principalIn(await asking)).toBeNull()
  expect(state.reads).toBe(2)
  expect(principalIn(await ask())).toBeNull()
})

test('[FR-009] who comes after a revocation does not join a look-up that began before it', async () => {
  const { ask, state, revocations, release } = stage()
  state.isHeld = true
  const early = ask()
  state.row = { ...ROW, user: { ...ROW.user, roles: ['admin'] } }
  revocations.revoke([{ kind: 'subject', id: 'somebody else' }])
  const late = ask()
  state.isHeld = false
  release()
  expect(principalIn(await late)).toMatchObject({ roles: ['admin'] })
  await early
})

test('[FR-009] a hundred who ask at once cost one look-up', async () => {
  const { ask, state } = stage()
  const all = await Promise.all(Array.from({ length: 100 }, () => ask()))
  expect(state.reads).toBe(1)
  expect(new Set(all).size).toBe(1)
})

test('[FR-023] a store that does not answer in time is no answer: 503, and never nobody', async () => {
  const { ask, state, release } = stage()
  state.isHeld = true
  expect(principalIn(await ask())).toBe('session.unavailable')
  state.isHeld = false
  release()
  expect(principalIn(await ask())).toMatchObject({ subject: 'u_1' })
})

test('[FR-023] a store that fails is 503 and said, and an entry still valid serves meanwhile', async () => {
  const { ask, state, logged } = stage()
  await ask()
  state.isDown = true
  expect(principalIn(await ask(NOW_MS + 4000))).toMatchObject({ subject: 'u_1' })
  expect(principalIn(await ask(NOW_MS + 6000))).toBe('session.unavailable')
  expect(logged).toHaveLength(1)
  state.isDown = false
  expect(principalIn(await ask(NOW_MS + 7000))).toMatchObject({ subject: 'u_1' })
})

test('[FR-023] look-ups that hang do not pile up without end', async () => {
  const { sessions, state, release } = stage()
  state.isHeld = true
  const asking = Array.from({ length: 600 }, (_, at) => sessions.verifyId(`s_${at}`, NOW_MS))
  expect(state.reads).toBe(512)
  state.isHeld = false
  release()
  const found = await Promise.all(asking)
  expect(found.filter((session) => 'reason' in session)).toHaveLength(88)
})

test('[FR-009] a session without its user, or past its end, is nobody, and its cookie goes', async () => {
  for (const row of [null, { ...ROW, expiresAtMs: NOW_MS }, { ...ROW, createdAtMs: NOW_MS - MAX_MS }]) {
    const { ask, cookies } = stage(row)
    expect(await ask()).toEqual({ principal: null, setCookies: [cookies.remove] })
  }
})

test('[FR-009] a ban counts while it lasts', async () => {
  const banned = (bannedUntilMs: number) => ({ ...ROW, user: { ...ROW.user, bannedUntilMs } })
  expect(principalIn(await stage(banned(Number.POSITIVE_INFINITY)).ask())).toBeNull()
  expect(principalIn(await stage(banned(NOW_MS + 1)).ask())).toBeNull()
  expect(principalIn(await stage(banned(NOW_MS)).ask())).toMatchObject({ subject: 'u_1' })
})

test('[FR-009] an entry ends with the session, were that sooner than five seconds', async () => {
  const { ask, state } = stage({ ...ROW, createdAtMs: NOW_MS - MAX_MS + 1000 })
  await ask()
  expect(principalIn(await ask(NOW_MS + 1000))).toBeNull()
  expect(state.reads).toBe(2)
})

test('[FR-009] use moves the idle end and nothing else, a twentieth of it at a time, and never past the last end', async () => {
  const { ask, state, cookie } = stage()
  await ask(NOW_MS + IDLE_MS / 20 - 1)
  expect(state.extensions).toEqual([])
  const laterMs = NOW_MS + IDLE_MS / 2
  expect(await ask(laterMs)).toMatchObject({
    principal: { authenticatedAtMs: NOW_MS, expiresAtMs: laterMs + IDLE_MS },
    setCookies: [`c=${cookie}; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax`],
  })
  expect(await ask(laterMs + 1)).toMatchObject({ setCookies: [] })
  state.row = { ...ROW, expiresAtMs: NOW_MS + MAX_MS - IDLE_MS / 4 }
  const lastMs = NOW_MS + MAX_MS - IDLE_MS / 2
  expect(await ask(lastMs)).toMatchObject({ principal: { expiresAtMs: NOW_MS + MAX_MS } })
  expect(state.extensions).toEqual([laterMs + IDLE_MS, NOW_MS + MAX_MS])
})

test('[FR-009] who asked not to be remembered gets a cookie that ends with the browser', async () => {
  const { ask, cookie } = stage({ ...ROW, isRemembered: false })
  expect(await ask(NOW_MS + IDLE_MS / 2)).toMatchObject({ setCookies: [`c=${cookie}; Path=/; HttpOnly; SameSite=Lax`] })
})

test('[FR-009] a session that ends while it is being extended has ended', async () => {
  const { ask, state, sessions } = stage()
  const asking = ask(NOW_MS + IDLE_MS / 2)
  state.row = null
  expect(principalIn(await asking)).toBeNull()
  expect(await sessions.verifyId('s_1', NOW_MS + IDLE_MS / 2)).toMatchObject({ principal: null })
})

test('[FR-023] a database that can be read but not written still knows who is there', async () => {
  const { ask, state } = stage()
  state.canWrite = false
  expect(principalIn(await ask(NOW_MS + IDLE_MS / 2))).toMatchObject({ subject: 'u_1' })
})

test('[FR-025] a cookie of an older secret is honored and replaced by one of the newest', async () => {
  const { ask, cookie } = stage()
  const old = cookieCodec(primitives, ['old key'], { name: 'c', isSecure: false }).sign(TOKEN)
  expect(await ask(NOW_MS, old)).toMatchObject({
    principal: { subject: 'u_1' },
    setCookies: [`c=${cookie}; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax`],
  })
})

test('[FR-009] a forged cookie is refused at once, without a look-up, and taken away', () => {
  const { ask, state, cookies } = stage()
  expect(ask(NOW_MS, `${TOKEN}.${'A'.repeat(43)}=`)).toMatchObject({
    reason: 'session.malformed',
    setCookies: [cookies.remove],
  })
  expect(state.reads).toBe(0)
})
