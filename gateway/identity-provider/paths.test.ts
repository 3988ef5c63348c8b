/** The table of paths against what is really mounted: nothing is open that nobody listed. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { AUTH_SETTINGS, createStore, ORIGIN, startNode, type TestNode, type TestStore } from '../test/ports/identity.ts'
import { authOptions, createAuth } from './auth.ts'
import { CLOSED, doorFor, OPEN } from './paths.ts'

let store: TestStore
let node: TestNode
let mounted: readonly string[]

/** `GET /path` for each endpoint that HTTP can reach; those without a path are for calls in process only. */
beforeAll(async () => {
  store = await createStore('sqlite')
  node = await startNode(store)
  const auth = createAuth(authOptions(AUTH_SETTINGS, node.database.handle))
  mounted = Object.values(auth.api).flatMap((endpoint) => {
    const { path, options } = endpoint as unknown as { path?: string; options: { method: string | string[] } }
    return path === undefined ? [] : [options.method].flat().map((method) => `${method} ${path}`)
  })
})
afterAll(async () => {
  await node.stop()
  await store.remove()
})

const isClosed = (row: string) =>
  CLOSED.has(row) || [...CLOSED.keys()].some((closed) => closed.endsWith('/*') && row.startsWith(closed.slice(0, -1)))

test('[FR-021] every mounted path is open or closed by name, so a new one fails this test', () => {
  expect(mounted.length).toBeGreaterThan(60)
  expect(mounted.filter((row) => !OPEN.has(row) && !isClosed(row))).toEqual([])
})

test('[FR-021] no row speaks of a path that is not mounted, and none is both open and closed', () => {
  expect([...OPEN.keys()].filter((row) => !mounted.includes(row))).toEqual([])
  const idle = [...CLOSED.keys()].filter((row) =>
    row.endsWith('/*') ? !mounted.some((each) => each.startsWith(row.slice(0, -1))) : !mounted.includes(row),
  )
  expect(idle).toEqual([])
  expect([...OPEN.keys()].filter(isClosed)).toEqual([])
})

test('[FR-021] every closed path answers 404, signed in as an administrator too', async () => {
  const client = node.client()
  await client.signUp('root@example.com')
  const user = await node.users.findByEmail('root@example.com')
  await node.users.setRoles(user!.id, ['admin'])
  for (const row of mounted.filter((each) => !OPEN.has(each))) {
    const [method = '', path = ''] = row.split(' ')
    const response = await client.send(method, path.replace(/:\w+/g, 'x'))
    expect([row, response.status]).toEqual([row, 404])
    expect(response.headers.get('content-type')).toBe('application/problem+json')
  }
})

const odd = [
  ['GET', '/Get-Session'],
  ['GET', '/get-session/'],
  ['GET', '//get-session'],
  ['GET', '/get%2Dsession'],
  ['GET', '/get-session%00'],
  ['GET', '/./get-session;x=1'],
  ['GET', '/'],
  ['GET', ''],
  ['HEAD', '/get-session'],
  ['OPTIONS', '/get-session'],
  ['PUT', '/sign-in/email'],
  ['GET', '/sign-out'],
  ['GET', '/../../admin/list-users'],
  ['POST', '/sign-in/../admin/set-role'],
] as const
for (const [method, path] of odd) {
  test(`[FR-021] ${method} /api/auth${path} does not exist: one path, one spelling, one method`, async () => {
    const response = await node.provider.handle(
      new Request(`${ORIGIN}/api/auth${path}`, { method, headers: { origin: ORIGIN } }),
    )
    expect(response.status).toBe(404)
  })
}

test('[FR-021] a path asks for what its row says', () => {
  expect(doorFor('POST', '/sign-in/email')).toBe('public')
  expect(doorFor('GET', '/token')).toBe('session')
  expect(doorFor('POST', '/update-user')).toBe('fresh-session')
  expect(doorFor('POST', '/admin/set-role')).toBeNull()
  expect(doorFor('__proto__', '')).toBeNull()
})

test('[FR-021] without a session every path that asks for one is 401', async () => {
  for (const [row, door] of OPEN) {
    if (door === 'public') continue
    const [method = '', path = ''] = row.split(' ')
    const response = await node.client().send(method, path)
    expect([row, response.status]).toEqual([row, 401])
  }
})
