/** Somebody, a request of theirs, and requirements to try on both. */

import type { CredentialKind, Principal, RequestHead } from '../../model.ts'
import type { Check, PolicyFacts, Requirement } from '../../rules.ts'

export const NOW_MS = Date.UTC(2026, 0, 1, 12)

export const ALICE: Principal = {
  kind: 'user',
  credential: 'session',
  subject: 'u_1',
  issuer: 'http://localhost',
  email: 'Alice@example.com',
  emailVerified: true,
  name: 'Alice',
  roles: ['editor'],
  scopes: ['books:read'],
  groups: [],
  claims: {},
  sessionId: 's',
  tokenId: null,
  keyId: null,
  source: null,
  authenticatedAtMs: NOW_MS - 600_000,
  methods: ['pwd'],
  hasSecondFactor: false,
  expiresAtMs: NOW_MS + 3_600_000,
}

export const HEAD: RequestHead = {
  requestId: 'r',
  receivedAtMs: NOW_MS,
  method: 'GET',
  target: { scheme: 'http', authority: 'localhost:8080', path: '/a/b', query: '?x=1&y=two', readings: [] },
  httpVersion: '1.1',
  headers: [
    ...['X-A', 'one', 'Cookie', 'postern.session_token=s', 'Authorization', 'Bearer t'],
    ...['X-Forwarded-User', 'root', 'X-A', 'two'],
  ],
  names: ['x-a', 'cookie', 'authorization', 'x-forwarded-user', 'x-a'],
  droppedHeaders: 0,
  clientAddress: '10.1.2.3',
  peerAddress: '10.1.2.3',
  isUpgrade: false,
  isNavigation: false,
  bodyBytes: 0,
  authorization: 'Bearer t',
  apiKey: null,
  sessionCookie: 's',
  origin: null,
  fetchSite: null,
  preflightFor: null,
}

export const FACTS: PolicyFacts = { head: HEAD, params: { user: 'u_1' } }

const INTERACTIVE: readonly CredentialKind[] = ['session', 'token']

/** As compiled from an object form without `with`. */
export function required(...checks: readonly Check[]): Requirement {
  return { kind: 'require', needsPrincipal: true, checks: [{ kind: 'with', anyOf: INTERACTIVE }, ...checks] }
}

/** As compiled within `any` and `not`. */
export function nested(...checks: readonly Check[]): Requirement {
  return { kind: 'require', needsPrincipal: true, checks }
}
