/** One record of an exchange, whatever became of it, holding nothing that must not be kept. */

import { expect, test } from 'vitest'
import { type ForwardPlan, type Outcome, Refusal, type RequestHead } from '../model.ts'
import { accessRecord } from './access.ts'

const head = {
  requestId: 'r1',
  method: 'GET',
  target: { scheme: 'https', authority: 'a.example', path: '/p', query: '?token=query-secret', readings: [] },
  headers: ['Cookie', 'postern.session_token=cookie-secret', 'Authorization', 'Bearer bearer-secret'],
  authorization: 'Bearer bearer-secret',
  sessionCookie: 'cookie-secret',
  clientAddress: '192.0.2.7',
  droppedHeaders: 2,
} as unknown as RequestHead
const ending = { status: 200, endedAtMs: 1250, isAborted: false, failure: null, asked: null }

test('[FR-019] a refused request is recorded with its reason, even when it could not be read', () => {
  const outcome: Outcome = {
    kind: 'refuse',
    requestId: 'r0',
    refusal: new Refusal('head.malformed'),
    head: null,
    match: null,
    principal: null,
    isAuthenticated: false,
  }
  expect(accessRecord('p1', outcome, null, 1000, { ...ending, status: 400 })).toMatchObject({
    requestId: 'r0',
    status: 400,
    reason: 'head.malformed',
    method: '-',
    path: '-',
    clientAddress: null,
  })
})

test('[FR-025] a record keeps no query, cookie or credential (CWE-532)', () => {
  const forward = {
    kind: 'forward',
    head,
    match: { route: { id: '/p' } },
    upstream: { id: 'books' },
    principal: { subject: 'u1', credential: 'token', roles: ['reader'], scopes: [] },
  } as unknown as ForwardPlan
  for (const outcome of [forward, { kind: 'own', head } as const]) {
    const record = accessRecord('p1', outcome, null, 1000, ending)
    expect(record).toMatchObject({ requestId: 'r1', path: '/p', durationMs: 250, droppedHeaders: 2 })
    expect(JSON.stringify(record)).not.toContain('secret')
  }
})

test('[FR-016] an upstream that failed is named in the record, for the client never learns', () => {
  const forward = {
    kind: 'forward',
    head,
    match: { route: { id: '/p' } },
    upstream: { id: 'books' },
    principal: null,
  } as unknown as ForwardPlan
  const failure = { reason: 'upstream.refused', log: 'connect ECONNREFUSED 127.0.0.1:9' }
  expect(accessRecord('p1', forward, null, 1000, { ...ending, status: 502, failure })).toMatchObject({
    upstream: 'books',
    ...failure,
  })
})
