/** A sign-in under way on one node while the password changes on another: the old password opens nothing that lasts. */

import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createStore, PASSWORD, startNode, type TestNode, type TestStore } from '../test/ports/identity.ts'
import { until } from '../test/ports/switch.ts'

let store: TestStore
let here: TestNode
let there: TestNode
/** Holds locks in the middle, so that each order of events comes about on purpose. */
let third: pg.Client
beforeAll(async () => {
  store = await createStore('postgres')
  here = await startNode(store)
  there = await startNode(store)
  third = new pg.Client({ connectionString: store.url })
  await third.connect()
})
afterAll(async () => {
  await third.end()
  await here.stop()
  await there.stop()
  await store.remove()
})

/** So many of the statements that an order of events hangs on wait for somebody's lock. */
const waiting = (count: number) =>
  until(async () => {
    const rows = await here.database.query(
      `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
       and (query like 'update "account"%' or query like 'insert into "session"%')`,
    )
    return rows.length === count
  })
const isLive = async (cookie: string) => {
  const found = await here.sessions.verifyCookie(cookie, Date.now())
  return 'principal' in found && found.principal !== null
}

test('[FR-034] a sign-in that compared the old password before it changed gets no session after', async () => {
  const owner = here.client()
  await owner.signUp('first@example.com')
  await third.query('begin')
  // The change has happened, and is not committed yet.
  await third.query(
    `update account set password = 'another hash' where "userId" = (select id from "user" where email = $1)`,
    ['first@example.com'],
  )
  const late = there.client()
  const signingIn = late.signIn('first@example.com')
  await waiting(1)
  await third.query('commit')
  expect((await signingIn).status).toBe(401)
  expect(late.session).toBe('')
})

test('[FR-034] a session made a moment before the change is ended by it', async () => {
  const owner = here.client()
  await owner.signUp('second@example.com')
  await third.query('begin')
  await third.query(`select 1 from "user" where email = $1 for update`, ['second@example.com'])
  // The sign-in has compared the password, and waits for the user's row to put its session beside.
  const late = there.client()
  const signingIn = late.signIn('second@example.com')
  await waiting(1)
  const changing = owner.send('POST', '/change-password', {
    currentPassword: PASSWORD,
    newPassword: 'quite another password',
  })
  await waiting(2)
  await third.query('commit')
  expect([(await signingIn).status, (await changing).status]).toEqual([200, 200])
  await here.revocations.catchUp()
  expect([await isLive(late.session), await isLive(owner.session)]).toEqual([false, true])
})

test('[FR-034] of two changes that compared one password, the second is refused', async () => {
  const [one, two] = [here.client(), there.client()]
  await one.signUp('third@example.com')
  await two.signIn('third@example.com')
  await third.query('begin')
  await third.query(`select 1 from account where "userId" = (select id from "user" where email = $1) for update`, [
    'third@example.com',
  ])
  const changing = [one, two].map((client, at) =>
    client.send('POST', '/change-password', { currentPassword: PASSWORD, newPassword: `quite another password ${at}` }),
  )
  await waiting(2)
  await third.query('commit')
  const statuses = (await Promise.all(changing)).map((response) => response.status)
  expect(statuses.sort()).toEqual([200, 401])
})
