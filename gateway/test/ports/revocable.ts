/** People of two nodes who are signed in twice each, and which of their sessions are left. */

import { COOKIE, PASSWORD, type TestClient, type TestNode } from './identity.ts'
import type { TwoNodes } from './two-nodes.ts'

export interface Person {
  readonly client: TestClient
  readonly id: string
  readonly email: string
  readonly cookie: string
  readonly sessionId: string
  readonly token: string
  /** Another session of the same person. */
  readonly other: { readonly cookie: string; readonly token: string }
}

export async function signUp({ here }: TwoNodes, email: string): Promise<Person> {
  const client = here.client()
  await client.signUp(email)
  const other = here.client()
  await other.signIn(email)
  return personOf(here, email, client, other.session)
}

/** Signed in twice all the same, without a password. */
export async function bring({ here }: TwoNodes, email: string): Promise<Person> {
  const facts = { email, emailVerified: false, name: 'Ada', roles: [], methods: ['pwd'], authenticatedAtMs: Date.now() }
  const person = { id: email.replace(/\W/g, ''), ...facts }
  await here.testPeople.settle(person)
  const [own, other] = [await here.testPeople.signIn(person), await here.testPeople.signIn(person)]
  const client = here.client()
  client.cookies.set(COOKIE, encodeURIComponent(own))
  return personOf(here, email, client, encodeURIComponent(other))
}

async function personOf(here: TestNode, email: string, client: TestClient, other: string): Promise<Person> {
  const found = await here.sessions.verifyCookie(client.session, Date.now())
  if ('reason' in found) throw new Error(found.reason)
  const { subject, sessionId } = (found as { principal: { subject: string; sessionId: string } }).principal
  return {
    client,
    id: subject,
    email,
    sessionId,
    cookie: client.session,
    token: tokenIn(client.session),
    other: { cookie: other, token: tokenIn(other) },
  }
}

export async function adminOf({ inside, here }: TwoNodes, email: string): Promise<Headers> {
  const body = { email, password: PASSWORD, name: 'Root' }
  const { headers, response } = await inside.auth.api.signUpEmail({ body, returnHeaders: true })
  await here.users.setRoles(response.user.id, ['admin'])
  return new Headers({ cookie: headers.getSetCookie()[0]!.split(';')[0]! })
}

function tokenIn(cookie: string): string {
  const value = decodeURIComponent(cookie)
  return value.slice(0, value.lastIndexOf('.'))
}

/** As the second node sees it. */
export async function sessionsLeft(
  { there }: TwoNodes,
  { cookie, other }: Person,
): Promise<'both' | 'own' | 'other' | 'none'> {
  const isLive = async (value: string): Promise<boolean> => {
    const found = await there.sessions.verifyCookie(value, Date.now())
    if (!('principal' in found)) throw new Error(found.reason)
    return found.principal !== null
  }
  const [own, another] = [await isLive(cookie), await isLive(other.cookie)]
  return own ? (another ? 'both' : 'own') : another ? 'other' : 'none'
}
