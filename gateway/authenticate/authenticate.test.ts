/** One credential, or two of one subject, or nobody. A bad credential is never the same as none. */

import { expect, test } from 'vitest'
import { type Authentication, type Principal, Refusal, type RequestHead, type Soon } from '../model.ts'
import type { Route } from '../rules.ts'
import { authenticate, NOBODY } from './authenticate.ts'
import { refuseCrossSite, refuseServiceWorker } from './browser.ts'

const ada = { subject: 'u1', issuer: 'http://localhost', scopes: [] as readonly string[] } as Principal
const adaToken = { ...ada, credential: 'token', scopes: ['books'] } as Principal
const bob = { ...ada, subject: 'u2' } as Principal
const proof = { sequence: 0, names: [], issuedAtMs: null }
const who = (principal: Principal, setCookies: readonly string[] = []): Authentication => {
  return { principal, proofs: [proof], rate: null, setCookies }
}
const ended: Authentication = { ...NOBODY, setCookies: ['postern.session_token=; Max-Age=0'] }

function sources(session: Soon<Authentication | Refusal> | null, token: Soon<Principal | Refusal> | null) {
  return {
    sessions: session === null ? null : { verifyCookie: () => session },
    tokens: token === null ? null : { verifyToken: () => asFound(token) },
    keys: null,
  }
}

function asFound(token: Soon<Principal | Refusal>): Soon<Authentication | Refusal> {
  if (token instanceof Promise) return token.then((later) => (later instanceof Refusal ? later : who(later)))
  return token instanceof Refusal ? token : who(token)
}

function head(fields: Partial<RequestHead>): RequestHead {
  return {
    method: 'GET',
    authorization: null,
    sessionCookie: null,
    apiKey: null,
    origin: null,
    fetchSite: null,
    isUpgrade: false,
    receivedAtMs: 0,
    names: [],
    headers: [],
    ...fields,
  } as RequestHead
}

const bearer = { authorization: 'Bearer abc.def.ghi' }
const cookie = { sessionCookie: 'token.signature' }

test('[FR-011] no credential is nobody, not an error', () => {
  expect(authenticate(sources(ended, adaToken), head({}))).toEqual(NOBODY)
})

test('[FR-011] what is in memory is answered without a promise', () => {
  expect(authenticate(sources(who(ada), null), head(cookie))).not.toBeInstanceOf(Promise)
})

const refusals = [
  ['Basic dTpw', 'credential.scheme', 'another scheme proves nothing (CVE-2026-47673)'],
  ['Bearer', 'credential.scheme', 'a scheme without a token'],
  ['Bearerabcdef', 'credential.scheme', 'no space after the scheme'],
  ['', 'credential.scheme', 'an empty field is a presented credential'],
] as const
for (const [authorization, reason, because] of refusals) {
  test(`[FR-011] Authorization "${authorization}" is refused: ${because}`, () => {
    expect(authenticate(sources(null, adaToken), head({ authorization }))).toMatchObject({ reason })
  })
}

test('[FR-011] the scheme is case-insensitive (RFC 9110 §11.1)', () => {
  expect(authenticate(sources(null, adaToken), head({ authorization: 'bEARER abc' }))).toMatchObject({
    principal: adaToken,
  })
})

test('[FR-011] a session and a token of one subject act as the token, so its scopes rule', async () => {
  for (const later of [false, true]) {
    const session = who(ada, ['a=b'])
    const found = await authenticate(
      sources(later ? Promise.resolve(session) : session, adaToken),
      head({ ...bearer, ...cookie }),
    )
    expect(found).toEqual({ ...who(adaToken, ['a=b']), proofs: [proof, proof] })
  }
})

test('[FR-011] a session and a token of different subjects are refused', async () => {
  const found = await authenticate(sources(who(bob), adaToken), head({ ...bearer, ...cookie }))
  expect(found).toMatchObject({ reason: 'credential.subjects-differ' })
})

test('[FR-011] one subject of two issuers is two people', async () => {
  const foreign = { ...adaToken, issuer: 'https://elsewhere.example' }
  const found = await authenticate(sources(who(ada), foreign), head({ ...bearer, ...cookie }))
  expect(found).toMatchObject({ reason: 'credential.subjects-differ' })
})

test('[FR-011] a bad token beside a good session is refused, and a bad session beside a good token too', async () => {
  const bad = new Refusal('token.signature')
  const malformed = new Refusal('session.malformed')
  expect(await authenticate(sources(who(ada), bad), head({ ...bearer, ...cookie }))).toBe(bad)
  expect(await authenticate(sources(malformed, adaToken), head({ ...bearer, ...cookie }))).toBe(malformed)
})

test('[FR-011] an ended cookie is not a second credential: the token acts, and the cookie is deleted', () => {
  expect(authenticate(sources(ended, adaToken), head({ ...bearer, ...cookie }))).toEqual(
    who(adaToken, ended.setCookies),
  )
})

const ours = 'https://books.example.com'
const crossSite = [
  [{ method: 'POST' }, null, 'without our cookie nothing travels by itself'],
  [{ method: 'GET', ...cookie }, null, 'a safe method changes nothing'],
  [{ method: 'POST', ...cookie, fetchSite: 'same-origin' }, null, 'our own page'],
  [{ method: 'POST', ...cookie, fetchSite: 'same-site' }, 'csrf.cross-site', 'a sibling host is not us'],
  [{ method: 'POST', ...cookie, fetchSite: 'none' }, 'csrf.cross-site', 'only same-origin will do'],
  [
    { method: 'POST', ...cookie, fetchSite: 'cross-site', origin: ours },
    'csrf.cross-site',
    'Sec-Fetch-Site rules over Origin',
  ],
  [{ method: 'DELETE', ...cookie, origin: ours }, null, 'our own Origin'],
  [
    { method: 'POST', ...cookie, origin: 'https://books.example.com.evil' },
    'csrf.cross-site',
    'an Origin is compared whole',
  ],
  [{ method: 'POST', ...cookie, origin: 'null' }, 'csrf.cross-site', 'an opaque origin is not ours'],
  [{ method: 'POST', ...cookie }, 'csrf.no-evidence', 'neither header shows where it came from'],
  [{ method: 'PROPFIND', ...cookie }, 'csrf.no-evidence', 'an unknown method counts as unsafe'],
  [
    { method: 'GET', ...cookie, isUpgrade: true },
    'csrf.no-evidence',
    'an upgrade opens a channel both ways (CWE-1385)',
  ],
  [{ method: 'GET', ...cookie, isUpgrade: true, origin: ours }, null, 'our own WebSocket'],
] as const
for (const [fields, reason, because] of crossSite) {
  test(`[FR-012] ${JSON.stringify(fields)} is ${reason === null ? 'let through' : `refused (${reason})`}: ${because}`, () => {
    expect(refuseCrossSite(ours, head(fields))?.reason ?? null).toBe(reason)
  })
}

test('[FR-006] a service worker script is served only where the route allows it', () => {
  const wanting = head({ names: ['service-worker'], headers: ['Service-Worker', ' Script '] })
  expect(refuseServiceWorker({ isServiceWorkerAllowed: false } as Route, wanting)?.reason).toBe(
    'service-worker.refused',
  )
  expect(refuseServiceWorker({ isServiceWorkerAllowed: true } as Route, wanting)).toBeNull()
  expect(refuseServiceWorker({ isServiceWorkerAllowed: false } as Route, head({}))).toBeNull()
})

const key = { apiKey: 'bk_abc' }
const withKey = (found: Soon<Authentication | Refusal> | null, session: Authentication | null = null) => ({
  ...sources(session, null),
  keys: found === null ? null : { verifyKey: () => found },
})
const adaKey = { ...ada, credential: 'key', scopes: ['chat'], keyId: 'k1' } as Principal

test('[FR-031] an API key speaks for its owner, and where none can be verified every key is refused', async () => {
  expect(authenticate(withKey(who(adaKey)), head(key))).toMatchObject({ principal: adaKey })
  expect(await authenticate(withKey(Promise.resolve(who(adaKey))), head(key))).toMatchObject({ principal: adaKey })
  expect(authenticate(withKey(null), head(key))).toMatchObject({ reason: 'key.unknown' })
  expect(authenticate(withKey(new Refusal('key.ended')), head({ ...key, ...cookie }))).toMatchObject({
    reason: 'key.ended',
  })
})

test('[FR-031] a key beside a session of its owner acts as the key; beside anybody else’s it is refused', () => {
  expect(authenticate(withKey(who(adaKey), who(ada, ['a=b'])), head({ ...key, ...cookie }))).toEqual({
    ...who(adaKey, ['a=b']),
    proofs: [proof, proof],
  })
  expect(authenticate(withKey(who(adaKey), who(bob)), head({ ...key, ...cookie }))).toMatchObject({
    reason: 'credential.subjects-differ',
  })
})
