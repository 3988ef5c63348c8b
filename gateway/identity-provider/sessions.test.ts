/** What is remembered of sessions: order, deadlines and ends, with every race set up by hand. */

import { expect, test } from 'vitest'
import type { Authentication, Refusal } from '../model.ts'
import { primitives } from '../node/crypto.ts'
import { EVERYTHING, nameOf } from '../revocation/names.ts'
import { cacheOf, openStore } from '../test/support/credentials.ts'
import { scriptedRevocations } from '../test/support/revocations.ts'
import { cookieCodec } from './cookie.ts'
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
  impersonatorId: null,
}

/**
 * Sessions over rows whose reading the test controls: order is what is tested, and no database lets a test set it. With the
 * `store` and `revocations` of another stage, a second node of its fleet.
 */
function stage(first: SessionRow | null = ROW, { store = openStore(), revocations = scriptedRevocations() } = {}) {
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
  const credentials = cacheOf({ revocations, store })
  const { logged } = credentials
  const settings = { issuer: 'http://localhost', idleMs: IDLE_MS, maxMs: MAX_MS }
  const log = (error: unknown) => logged.push(error)
  const sessions = createSessions({ rows, cookies, credentials, primitives, settings, log })
  const cookie = cookies.sign(TOKEN)
  return {
    state,
    store,
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

test('[FR-009] an entry is believed for a minute from before it was read, then read again', async () => {
  const { ask, state, store } = stage()
  await ask()
  store.values.clear()
  expect(ask(NOW_MS + 59_999)).not.toBeInstanceOf(Promise)
  await ask(NOW_MS + 60_000)
  expect(state.reads).toBe(2)
})

test('[FR-009] a session carries the names by which it is revoked, and when it began', async () => {
  const { ask } = stage()
  const names = ['subject:u_1', 'session:s_1', nameOf.sessionToken(primitives.sha256(TOKEN))]
  expect(await ask()).toMatchObject({ proofs: [{ sequence: 0, names, issuedAtMs: NOW_MS }] })
})

test('[FR-034] each of its names revokes a session from memory and from Redis: the row is read again', async () => {
  for (const name of ['subject:u_1', 'session:s_1', nameOf.sessionToken(primitives.sha256(TOKEN)), EVERYTHING]) {
    const { ask, state, sessions, revocations } = stage()
    await ask()
    await sessions.verifyId('s_1', NOW_MS)
    revocations.revoke(name)
    state.row = null
    expect(principalIn(await ask())).toBeNull()
    expect(await sessions.verifyId('s_1', NOW_MS)).toMatchObject({ reason: 'token.session-ended' })
  }
})

test('[FR-037] a session from before everything was ended is ended though its row is there, and later ones live', async () => {
  const { ask, sessions, revocations, cookies, cookie } = stage()
  await ask()
  revocations.revoke(EVERYTHING, 'end', NOW_MS)
  expect(await ask()).toMatchObject({ principal: null, setCookies: [cookies.remove] })
  expect(await sessions.verifyId('s_1', NOW_MS)).toMatchObject({ reason: 'token.session-ended' })
  expect(await sessions.verifyBearer(cookie, NOW_MS)).toMatchObject({ reason: 'token.session-ended' })
  const later = stage({ ...ROW, createdAtMs: NOW_MS + 1 }, { revocations })
  expect(principalIn(await later.ask(NOW_MS + 2))).toMatchObject({ subject: 'u_1' })
})

test('[FR-035] past its bound a session in memory is not answered: the log first, or 503', async () => {
  const { ask, revocations } = stage()
  await ask()
  revocations.state.isFresh = false
  expect(principalIn(await ask())).toMatchObject({ subject: 'u_1' })
  revocations.state.isFresh = false
  revocations.state.canCatchUp = false
  expect(principalIn(await ask())).toBe('revocation.stale')
})

test('[FR-032] nodes share what they read of a session, by cookie and by id, and none of it opens anything', async () => {
  const one = stage()
  await one.ask()
  await one.sessions.verifyId('s_1', NOW_MS)
  const two = stage(ROW, one)
  expect(principalIn(await two.ask())).toMatchObject({ subject: 'u_1' })
  expect(await two.sessions.verifyId('s_1', NOW_MS)).toMatchObject({ principal: { subject: 'u_1' } })
  expect(two.state.reads).toBe(0)
  for (const [name, sealed] of one.store.values) {
    const value = Buffer.from(sealed.split('.')[1]!, 'base64url').toString()
    expect(name + value).not.toContain(TOKEN)
  }
})

test('[FR-032] a session that is due to be extended is read again, on every node', async () => {
  const one = stage({ ...ROW, expiresAtMs: NOW_MS + IDLE_MS - IDLE_MS / 20 + 10_000 })
  await one.ask()
  const two = stage(one.state.row, one)
  await two.ask(NOW_MS + 9999)
  expect(two.state.extensions).toEqual([])
  await two.ask(NOW_MS + 10_000)
  expect(two.state.extensions).toEqual([NOW_MS + 10_000 + IDLE_MS])
})

test('[FR-025] who shows a cookie of an older secret gets a new one though Redis knows the session', async () => {
  const one = stage()
  await one.ask()
  const two = stage(ROW, one)
  const old = cookieCodec(primitives, ['old key'], { name: 'c', isSecure: false }).sign(TOKEN)
  expect(await two.ask(NOW_MS, old)).toMatchObject({ principal: { subject: 'u_1' }, setCookies: [expect.any(String)] })
})

test('[FR-028] a signed session token is a bearer token too, in memory as well, and is never answered with a cookie', async () => {
  const { sessions, cookie, state } = stage()
  const plain = decodeURIComponent(cookie)
  const found = await sessions.verifyBearer(plain, NOW_MS + IDLE_MS / 2)
  expect(found).toMatchObject({ principal: { credential: 'session', subject: 'u_1' }, setCookies: [] })
  expect(state.extensions).toHaveLength(1)
  expect(sessions.verifyBearer(plain, NOW_MS + IDLE_MS / 2)).toBe(found)
})

test('[FR-028] a bearer token that we did not sign is malformed, and one that has ended has ended', async () => {
  const { sessions, cookie } = stage(null)
  expect(sessions.verifyBearer(`${TOKEN}.${'A'.repeat(43)}=`, NOW_MS)).toMatchObject({
    reason: 'token.malformed',
    setCookies: [],
  })
  expect(sessions.verifyBearer(TOKEN, NOW_MS)).toMatchObject({ reason: 'token.malformed' })
  expect(await sessions.verifyBearer(cookie, NOW_MS)).toMatchObject({ reason: 'token.session-ended', setCookies: [] })
})

test('[FR-032] a dead cookie costs one look-up in ten seconds, however often it is shown', async () => {
  const { ask, state } = stage(null)
  for (let at = 0; at < 10; at += 1) expect(principalIn(await ask())).toBeNull()
  expect(state.reads).toBe(1)
})

test('[FR-009] a clock that was set back does not make an entry live on', async () => {
  const { ask, state, store } = stage()
  await ask()
  store.values.clear()
  await ask(NOW_MS - 3_600_000)
  expect(state.reads).toBe(2)
})

test('[FR-009] a look-up that began before a revocation is neither served nor remembered after it', async () => {
  const { ask, state, revocations, release } = stage()
  state.isHeld = true
  const asking = ask()
  await expect.poll(() => state.reads).toBe(1)
  // The write happens while the look-up holds what it read before.
  state.row = null
  revocations.revoke('subject:u_1')
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
  await expect.poll(() => state.reads).toBe(1)
  state.row = { ...ROW, user: { ...ROW.user, roles: ['admin'] } }
  revocations.revoke('subject:somebody else')
  const late = ask()
  await expect.poll(() => state.reads).toBe(2)
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
  const { ask, state, logged, store } = stage()
  await ask()
  store.values.clear()
  state.isDown = true
  expect(principalIn(await ask(NOW_MS + 59_000))).toMatchObject({ subject: 'u_1' })
  expect(principalIn(await ask(NOW_MS + 61_000))).toBe('session.unavailable')
  expect(logged).toHaveLength(1)
  state.isDown = false
  expect(principalIn(await ask(NOW_MS + 62_000))).toMatchObject({ subject: 'u_1' })
})

test('[FR-023] look-ups that hang do not pile up without end', async () => {
  const { sessions, state, release } = stage()
  state.isHeld = true
  const asking = Array.from({ length: 600 }, (_, at) => sessions.verifyId(`s_${at}`, NOW_MS))
  await expect.poll(() => state.reads).toBe(512)
  state.isHeld = false
  release()
  const found = await Promise.all(asking)
  expect(found.filter((session) => 'reason' in session)).toHaveLength(88)
})

test('[FR-009] a session without its user, or past its end, is nobody, and its cookie goes', async () => {
  for (const row of [null, { ...ROW, expiresAtMs: NOW_MS }, { ...ROW, createdAtMs: NOW_MS - MAX_MS }]) {
    const { ask, cookies } = stage(row)
    expect(await ask()).toMatchObject({ principal: null, proofs: [], setCookies: [cookies.remove] })
  }
})

test('[FR-009] a ban counts while it lasts', async () => {
  const banned = (bannedUntilMs: number) => ({ ...ROW, user: { ...ROW.user, bannedUntilMs } })
  expect(principalIn(await stage(banned(Number.POSITIVE_INFINITY)).ask())).toBeNull()
  expect(principalIn(await stage(banned(NOW_MS + 1)).ask())).toBeNull()
  expect(principalIn(await stage(banned(NOW_MS)).ask())).toMatchObject({ subject: 'u_1' })
})

test('[FR-009] an entry ends with the session, were that sooner than a minute', async () => {
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
  expect(await sessions.verifyId('s_1', NOW_MS + IDLE_MS / 2)).toMatchObject({
    reason: 'token.session-ended',
  })
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

test('[FR-040] an impersonated session is not extended past its hour, and over after it whatever the row says', async () => {
  const short = { ...ROW, impersonatorId: 'u_9', expiresAtMs: NOW_MS + IDLE_MS / 2 }
  const { ask, state } = stage(short)
  await ask(NOW_MS + IDLE_MS / 4)
  expect(state.extensions.filter((endMs) => endMs > NOW_MS + 3_600_000)).toEqual([])
  const long = stage({ ...short, expiresAtMs: NOW_MS + MAX_MS })
  expect(principalIn(await long.ask(NOW_MS + 3_599_999))).toMatchObject({ subject: 'u_1', hasSecondFactor: false })
  expect(principalIn(await long.ask(NOW_MS + 3_600_000))).toBeNull()
  expect(long.state.extensions).toEqual([])
})

test('[FR-040] whoever acts in another’s name has shown no second factor and no sign-in, whatever the row says', async () => {
  const shown = { ...ROW, methods: ['pwd', 'otp'] }
  expect(principalIn(await stage(shown).ask(NOW_MS))).toMatchObject({
    hasSecondFactor: true,
    authenticatedAtMs: NOW_MS,
  })
  const borrowed = principalIn(await stage({ ...shown, impersonatorId: 'u_9' }).ask(NOW_MS))
  expect(borrowed).toMatchObject({ subject: 'u_1', hasSecondFactor: false, authenticatedAtMs: null })
})
