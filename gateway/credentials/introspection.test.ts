/** Opaque tokens and an issuer on a real socket that is asked about them: only a whole and fitting "active" lets anybody in. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type NodeOutbound, nodeOutbound } from '../node/outbound.ts'
import { NOW_MS, openStore, whoIn } from '../test/support/credentials.ts'
import { DISCOVERY, type LiveIssuer, makeKey, sendJson, signToken, startIssuer } from '../test/support/issuer.ts'
import { scriptedRevocations } from '../test/support/revocations.ts'
import { entryOf, KEY_CACHE, OWN, testTokens } from '../test/support/token-issuers.ts'
import type { IntrospectionSettings } from './introspection.ts'
import type { IssuerSettings } from './issuers.ts'

const NOW = NOW_MS / 1000
let outbound: NodeOutbound
let issuer: LiveIssuer
let offsetMs: number

beforeAll(async () => {
  outbound = nodeOutbound()
  issuer = await startIssuer()
})

afterAll(async () => {
  await outbound.close()
  await issuer.close()
})

beforeEach(() => {
  offsetMs = 0
  issuer.answers.clear()
  issuer.tokens.clear()
})

const good = (more: object = {}) => ({ active: true, sub: 'job-7', aud: 'books', exp: NOW + 600, ...more })

function entry(more: Partial<IntrospectionSettings> = {}, others: Partial<IssuerSettings> = {}): IssuerSettings {
  return entryOf({
    name: 'op',
    issuer: issuer.url,
    roles: ['deployer'],
    keyCache: { ...KEY_CACHE, timeoutMs: 300 },
    introspection: {
      url: `${issuer.url}/introspect`,
      clientId: 'gate:way',
      clientSecret: 'se cret+/',
      prefix: null,
      cacheMs: 30_000,
      ...more,
    },
    ...others,
  })
}

const open = (entries = [entry()]) => testTokens(entries, { outbound, monotonicMs: () => performance.now() + offsetMs })

test('[FR-030] an active token is believed, and the issuer is asked as RFC 7662 and RFC 6749 say', async () => {
  issuer.tokens.set('opaque~1+/=', good({ roles: ['admin', 'deployer'], scope: 'a b', jti: 't1' }))
  const tokens = await open()
  const before = issuer.asked.length
  expect(await tokens.verify('opaque~1+/=', NOW_MS)).toMatchObject({
    principal: { subject: 'op:job-7', roles: ['deployer'], scopes: ['a', 'b'], tokenId: 't1', source: 'op' },
  })
  const [{ authorization, body }] = issuer.asked.slice(before) as [{ authorization: string; body: string }]
  expect(Buffer.from(authorization.replace('Basic ', ''), 'base64').toString()).toBe('gate%3Away:se+cret%2B%2F')
  expect(body).toBe('token=opaque%7E1%2B%2F%3D&token_type_hint=access_token')
  tokens.close()
})

const refused: readonly (readonly [string, string, object])[] = [
  ['token.inactive', 'that is not active', { active: false, sub: 'job-7', aud: 'books', exp: NOW + 600 }],
  ['introspection.unavailable', 'that is active in another type', good({ active: 'true' })],
  ['introspection.unavailable', 'that is active as a number', good({ active: 1 })],
  ['introspection.unavailable', 'that nothing is said of', { sub: 'job-7' }],
  ['introspection.unavailable', 'that is answered with a list', [good()]],
  ['token.issuer', 'of another issuer', good({ iss: 'https://evil.example' })],
  ['token.issuer', 'of an issuer in another type', good({ iss: null })],
  ['token.audience', 'for somebody else', good({ aud: 'billing' })],
  ['token.audience', 'for nobody', good({ aud: undefined })],
  ['token.audience', 'for a list of somebody else', good({ aud: ['billing', ['books']] })],
  ['token.type', 'that its sender must prove to hold', good({ token_type: 'DPoP' })],
  ['token.malformed', 'without an end', good({ exp: undefined })],
  ['token.expired', 'that has ended', good({ exp: NOW - 60 })],
  ['token.lifetime', 'that outlives the log', good({ exp: NOW + 400 * 86_400 })],
  ['token.not-yet-valid', 'that is not valid yet', good({ nbf: NOW + 60 })],
  ['token.malformed', 'without a subject', good({ sub: undefined })],
  ['token.malformed', 'of a client only', good({ sub: null, client_id: 'x' })],
]
describe('a token is refused', () => {
  for (const [reason, because, answer] of refused) {
    test(`[FR-030] ${because}: ${reason}`, async () => {
      issuer.tokens.set('opaque', answer)
      const tokens = await open()
      expect(whoIn(await tokens.verify('opaque', NOW_MS))).toBe(reason)
    })
  }

  test('[FR-030] that lacks what its entry requires', async () => {
    issuer.tokens.set('opaque', good({ client_id: 'other' }))
    const tokens = await open([entry({}, { require: { client_id: ['cli'] } })])
    expect(whoIn(await tokens.verify('opaque', NOW_MS))).toBe('token.claims')
  })
})

describe('an issuer that gives no answer is 503, and said so without the token', () => {
  const rows: readonly (readonly [string, () => void])[] = [
    ['an error', () => answersWith(500, '{"active":true}')],
    ['credentials refused', () => answersWith(401, '{"active":false}')],
    ['no content', () => answersWith(204, '')],
    ['no JSON', () => answersWith(200, '<html>')],
    ['too much', () => answersWith(200, JSON.stringify(good({ pad: 'x'.repeat(70_000) })))],
    ['silence', () => issuer.answers.set('/introspect', () => {})],
    ['a torn connection', () => issuer.answers.set('/introspect', (request) => void request.socket.destroy())],
    [
      'a redirect',
      () =>
        issuer.answers.set('/introspect', (_request, response) =>
          response.writeHead(307, { location: `${issuer.url}/elsewhere` }).end(),
        ),
    ],
  ]
  for (const [what, arrange] of rows) {
    test(`[FR-030] ${what}`, async () => {
      arrange()
      issuer.answers.set('/elsewhere', (_request, response) => sendJson(response, good()))
      const tokens = await open()
      expect(whoIn(await tokens.verify('opaque-secret', NOW_MS))).toBe('introspection.unavailable')
      expect(tokens.logged).toHaveLength(1)
      expect(tokens.logged.join()).not.toMatch(/opaque-secret|cret/)
      expect(issuer.hits('/elsewhere')).toBe(0)
      issuer.answers.clear()
      issuer.tokens.set('opaque-secret', good())
      expect(whoIn(await tokens.verify('opaque-secret', NOW_MS))).toBe('op:job-7')
    })
  }

  function answersWith(status: number, body: string): void {
    issuer.answers.set('/introspect', (_request, response) => response.writeHead(status).end(body))
  }
})

describe('what is remembered', () => {
  test('[FR-030] an active token for the entry’s time and never beyond its end; all who ask at once ask once', async () => {
    issuer.tokens.set('opaque', good({ exp: NOW + 40 }))
    const tokens = await open()
    const before = issuer.hits('/introspect')
    await Promise.all(Array.from({ length: 20 }, () => tokens.verify('opaque', NOW_MS)))
    expect(issuer.hits('/introspect') - before).toBe(1)
    await tokens.verify('opaque', NOW_MS + 29_000)
    expect(issuer.hits('/introspect') - before).toBe(1)
    await tokens.verify('opaque', NOW_MS + 31_000)
    expect(issuer.hits('/introspect') - before).toBe(2)
    expect(whoIn(await tokens.verify('opaque', NOW_MS + 46_000))).toBe('token.expired')
  })

  test('[FR-030] an entry that remembers for less long does not believe what one that remembered longer shared', async () => {
    const shared = { store: openStore(), outbound, revocations: scriptedRevocations() }
    const before = await testTokens([entry({ cacheMs: 600_000 })], shared)
    issuer.tokens.set('opaque', good())
    expect(whoIn(await before.verify('opaque', NOW_MS))).toBe('op:job-7')
    expect(shared.store.values.size).toBe(1)
    issuer.tokens.set('opaque', { active: false })
    const after = await testTokens([entry({ cacheMs: 1000 })], shared)
    expect(whoIn(await after.verify('opaque', NOW_MS + 2000))).toBe('token.inactive')
  })

  test('[FR-030] an inactive one for moments', async () => {
    const tokens = await open()
    const before = issuer.hits('/introspect')
    for (let at = 0; at < 5; at += 1) expect(whoIn(await tokens.verify('late', NOW_MS))).toBe('token.inactive')
    expect(issuer.hits('/introspect') - before).toBe(1)
    issuer.tokens.set('late', good())
    offsetMs += 3001
    expect(whoIn(await tokens.verify('late', NOW_MS))).toBe('op:job-7')
  })

  test('[FR-033] a revoked one stays revoked though its issuer knows nothing of it', async () => {
    issuer.tokens.set('opaque', good({ jti: 't1' }))
    const tokens = await open()
    expect(whoIn(await tokens.verify('opaque', NOW_MS))).toBe('op:job-7')
    tokens.revocations.revoke('token:op:t1', 'end', NOW_MS)
    expect(whoIn(await tokens.verify('opaque', NOW_MS))).toBe('token.revoked')
  })
})

describe('who is asked', () => {
  test('[FR-030] nobody about what cannot be a token', async () => {
    const tokens = await open()
    const before = issuer.hits('/introspect')
    for (const text of ['', 'a b', 'a"b', 'é', 'a\nb', '=a', 'x'.repeat(4097), 'a.b.c', 'é.b.c']) {
      expect(await tokens.verify(text, NOW_MS)).toBe(OWN)
    }
    expect(issuer.hits('/introspect')).toBe(before)
  })

  test('[FR-030] the issuer whose prefix it has, and no other', async () => {
    const second = await startIssuer()
    issuer.tokens.set('a_1', good())
    second.tokens.set('b_1', good())
    const tokens = await open([
      entry({ prefix: 'a_' }),
      entryOf({
        name: 'second',
        issuer: second.url,
        introspection: { ...entry().introspection!, url: `${second.url}/introspect`, prefix: 'b_' },
      }),
    ])
    expect(whoIn(await tokens.verify('a_1', NOW_MS))).toBe('op:job-7')
    expect(whoIn(await tokens.verify('b_1', NOW_MS))).toBe('second:job-7')
    expect(await tokens.verify('c_1', NOW_MS)).toBe(OWN)
    expect(second.asked.map(({ body }) => body).join()).not.toContain('a_1')
    await second.close()
  })

  test('[FR-030] where discovery says, once in a while', async () => {
    issuer.tokens.set('opaque', good())
    const key = await makeKey('k1')
    const tokens = await open([entry({ url: null }, { keys: [key.jwk] })])
    const before = issuer.hits(DISCOVERY)
    for (const token of ['opaque', 'other', 'another']) await tokens.verify(token, NOW_MS)
    expect(issuer.hits(DISCOVERY) - before).toBe(1)
    expect(whoIn(await tokens.verify('opaque', NOW_MS))).toBe('op:job-7')
    offsetMs += KEY_CACHE.maxAgeMs
    issuer.answers.set(DISCOVERY, (_request, response) =>
      sendJson(response, { issuer: issuer.url, introspection_endpoint: 'http://127.0.0.1:1/introspect' }),
    )
    expect(whoIn(await tokens.verify('fresh', NOW_MS))).toBe('introspection.unavailable')
    expect(tokens.logged.join()).toContain('which is neither')
  })

  test('[FR-030] about JWTs too, where an endpoint was written and no way to keys', async () => {
    const key = await makeKey('k1')
    const token = await signToken(key, { iss: issuer.url }, {}, NOW_MS)
    issuer.tokens.set(token, good({ sub: 'asked' }))
    expect(whoIn(await (await open()).verify(token, NOW_MS))).toBe('op:asked')
    const verified = await open([entry({}, { keys: [key.jwk] })])
    expect(whoIn(await verified.verify(token, NOW_MS))).toBe('op:job-7')
  })
})
