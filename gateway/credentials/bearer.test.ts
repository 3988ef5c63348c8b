/** Whose token a token is, whom it speaks for, and that no issuer's word is taken for another's (SECURITY rules 12, 21, 22). */

import { beforeAll, describe, expect, test } from 'vitest'
import { Refusal } from '../model.ts'
import { primitives } from '../node/crypto.ts'
import { nameOf } from '../revocation/names.ts'
import { NOW_MS, openStore, whoIn } from '../test/support/credentials.ts'
import { type IssuerKey, makeKey, signToken } from '../test/support/issuer.ts'
import { entryOf, localUser, OWN, SESSION, testTokens } from '../test/support/token-issuers.ts'

const CI = 'https://ci.example.com'
const HR = 'https://hr.example.com'
let ci: IssuerKey
let hr: IssuerKey

beforeAll(async () => {
  ;[ci, hr] = await Promise.all([makeKey('k1'), makeKey('k1')])
})

const sign = (claims: object = {}, header: object = {}) => signToken(ci, { iss: CI, ...claims }, header, NOW_MS)
const twoIssuers = (more: object = {}) =>
  testTokens([
    entryOf({ name: 'ci', keys: [ci.jwk], roles: ['deployer'], ...more }),
    entryOf({ name: 'hr', keys: [hr.jwk], roles: ['reader'], ...more }),
  ])

describe('whom a token speaks for', () => {
  test('[FR-038] a stranger: named with its issuer, and with what its entry takes alone', async () => {
    const tokens = await testTokens([
      entryOf({
        name: 'ci',
        keys: [ci.jwk],
        roles: ['deployer', 'editor'],
        claims: {
          roles: 'realm_access.roles',
          scopes: '[https://example.com/scp]',
          groups: 'groups',
          email: 'mail',
          name: 'profile.name',
          more: {},
        },
      }),
    ])
    const token = await sign({
      realm_access: { roles: ['admin', 'deployer', 7, ''] },
      'https://example.com/scp': ['a', 'b'],
      groups: ['g1', null],
      mail: 'job@example.com',
      email_verified: true,
      profile: { name: 'Job Seven' },
      jti: 't1',
      amr: ['pwd', 1],
      auth_time: NOW_MS / 1000 - 60,
      roles: ['admin'],
      sid: 's1',
    })
    expect(await tokens.verify(token, NOW_MS)).toMatchObject({
      principal: {
        kind: 'user',
        credential: 'token',
        subject: 'ci:job-7',
        issuer: CI,
        source: 'ci',
        email: 'job@example.com',
        emailVerified: true,
        name: 'Job Seven',
        roles: ['deployer'],
        scopes: ['a', 'b'],
        groups: ['g1'],
        sessionId: null,
        tokenId: 't1',
        keyId: null,
        authenticatedAtMs: NOW_MS - 60_000,
        methods: ['pwd'],
        expiresAtMs: NOW_MS + 600_000,
      },
      setCookies: [],
      rate: null,
    })
  })

  test('[FR-038] nothing that is not mapped, and nothing of another type', async () => {
    const tokens = await twoIssuers()
    const claims = { email: 'a@example.com', email_verified: true, name: 'A', groups: ['g'], roles: 'deployer' }
    const token = await sign({ ...claims, scope: 'a  b', jti: 7, amr: 'mfa', auth_time: '1' })
    expect(await tokens.verify(token, NOW_MS)).toMatchObject({
      principal: {
        email: null,
        emailVerified: false,
        name: null,
        groups: [],
        roles: [],
        scopes: ['a', 'b'],
        tokenId: null,
        methods: [],
        authenticatedAtMs: null,
      },
    })
  })

  test('[FR-038] an e-mail is verified only where its issuer says exactly so', async () => {
    const claims = { roles: 'roles', scopes: 'scope', groups: null, email: 'email', name: null, more: {} }
    const tokens = await testTokens([entryOf({ name: 'ci', keys: [ci.jwk], claims })])
    for (const said of [undefined, 'true', 1, false]) {
      const token = await sign({ email: 'a@example.com', email_verified: said })
      expect(await tokens.verify(token, NOW_MS)).toMatchObject({ principal: { emailVerified: false } })
    }
  })

  test('[FR-038] a claim that every object inherits is no claim', async () => {
    const tokens = await testTokens([
      entryOf({
        name: 'ci',
        keys: [ci.jwk],
        claims: {
          roles: 'constructor.name',
          scopes: '__proto__',
          groups: null,
          email: null,
          name: 'toString',
          more: {},
        },
        require: { 'constructor.name': ['Object'] },
      }),
    ])
    expect(whoIn(await tokens.verify(await sign(), NOW_MS))).toBe('token.claims')
  })

  test('[FR-038] a sub that looks like another issuer’s name, or like ours, is only a sub', async () => {
    const tokens = await twoIssuers()
    for (const sub of ['hr:job-7', 'postern:u1', 'admin', '../u1', 'ci:ci:x']) {
      expect(whoIn(await tokens.verify(await sign({ sub }), NOW_MS))).toBe(`ci:${sub}`)
    }
  })
})

describe('two issuers with equal sub and equal kid', () => {
  test('[FR-038] are two, in who they are and in what they may do', async () => {
    const tokens = await twoIssuers()
    const claims = { roles: ['deployer', 'reader', 'admin'] }
    const found = await Promise.all([
      tokens.verify(await sign(claims), NOW_MS),
      tokens.verify(await signToken(hr, { iss: HR, ...claims }, {}, NOW_MS), NOW_MS),
    ])
    expect(found).toMatchObject([
      { principal: { subject: 'ci:job-7', roles: ['deployer'] } },
      { principal: { subject: 'hr:job-7', roles: ['reader'] } },
    ])
  })

  test('[FR-038] revoking a subject, token, kid or issuer of one leaves the other alone', async () => {
    for (const name of [
      nameOf.subject('ci:job-7'),
      nameOf.token('ci', 't1'),
      nameOf.kid('ci', 'k1'),
      nameOf.issuer('ci'),
    ]) {
      const tokens = await twoIssuers()
      const ofCi = await sign({ jti: 't1' })
      const ofHr = await signToken(hr, { iss: HR, jti: 't1' }, {}, NOW_MS)
      expect(whoIn(await tokens.verify(ofCi, NOW_MS))).toBe('ci:job-7')
      expect(whoIn(await tokens.verify(ofHr, NOW_MS))).toBe('hr:job-7')
      tokens.revocations.revoke(name, 'end', NOW_MS)
      expect(whoIn(await tokens.verify(ofCi, NOW_MS))).toBe('token.revoked')
      expect(whoIn(await tokens.verify(ofHr, NOW_MS))).toBe('hr:job-7')
    }
  })

  test('[FR-032] what one entry found out means nothing to another, nor to itself once it is written otherwise', async () => {
    const store = openStore()
    const variants: readonly object[] = [
      {},
      { audiences: ['books', 'more'] },
      { algorithms: ['ES256'] },
      { roles: ['deployer'] },
      { require: { on: [true] } },
      { isLocal: true },
      { leewayMs: 1 },
      { claims: { roles: 'r', scopes: 'scope', groups: null, email: null, name: null, more: {} } },
      { claims: { roles: 'roles', scopes: 'scope', groups: null, email: null, name: null, more: { x: 'a' } } },
      { claims: { roles: 'roles', scopes: 'scope', groups: null, email: null, name: null, more: { x: 'b' } } },
      { mfa: { amr: ['otp'], acr: [] } },
      { mfa: { amr: [], acr: ['otp'] } },
      { keys: [{ ...ci.jwk, kid: 'k2' }, ci.jwk] },
      { name: 'cd', issuer: CI },
    ]
    const token = await sign({ on: true })
    for (const [at, variant] of variants.entries()) {
      const tokens = await testTokens([entryOf({ name: 'ci', keys: [ci.jwk], ...variant })], { store })
      tokens.users.set('job-7', localUser('job-7'))
      expect(await tokens.verify(token, NOW_MS)).not.toBeInstanceOf(Refusal)
      expect(store.values.size).toBe(at + 1)
    }
  })
})

describe('revocation', () => {
  const token = (more: object = {}) => sign({ jti: 't1', ...more })

  test('[FR-033] a token is known by its jti, and by its text where it has none', async () => {
    const tokens = await twoIssuers()
    const text = await sign()
    const found = await tokens.verify(text, NOW_MS)
    const names = 'proofs' in found ? found.proofs[0]!.names : []
    expect(names).toEqual(
      expect.arrayContaining([nameOf.subject('ci:job-7'), nameOf.issuer('ci'), nameOf.kid('ci', 'k1')]),
    )
    const byText = names.find((name) => name.startsWith('token:ci:#'))!
    expect(byText).toBe(nameOf.token('ci', `#${primitives.sha256(text)}`))
    tokens.revocations.revoke(byText, 'end', NOW_MS)
    expect(whoIn(await tokens.verify(text, NOW_MS))).toBe('token.revoked')
    expect(whoIn(await tokens.verify(await sign(), NOW_MS))).toBe('ci:job-7')
    tokens.revocations.revoke(nameOf.token('ci', 't1'), 'end', 0)
    expect(whoIn(await tokens.verify(await token(), NOW_MS))).toBe('token.revoked')
  })

  test('[FR-033] a subject is cut off up to a time, leeway included; without iat for good', async () => {
    const tokens = await twoIssuers()
    tokens.revocations.revoke(nameOf.subject('ci:job-7'), 'end', NOW_MS)
    expect(whoIn(await tokens.verify(await token({ iat: NOW_MS / 1000 }), NOW_MS))).toBe('token.revoked')
    expect(whoIn(await tokens.verify(await token({ iat: NOW_MS / 1000 + 5 }), NOW_MS))).toBe('token.revoked')
    expect(whoIn(await tokens.verify(await token({ iat: undefined }), NOW_MS))).toBe('token.revoked')
    const laterMs = NOW_MS + 60_000
    expect(whoIn(await tokens.verify(await token({ iat: laterMs / 1000 }), laterMs))).toBe('ci:job-7')
  })

  test('[FR-035] a log that is out of touch answers 503, for what is remembered too', async () => {
    const tokens = await twoIssuers()
    const text = await token()
    expect(whoIn(await tokens.verify(text, NOW_MS))).toBe('ci:job-7')
    tokens.revocations.state.isFresh = false
    tokens.revocations.state.canCatchUp = false
    expect(whoIn(await tokens.verify(text, NOW_MS))).toBe('revocation.stale')
  })

  test('[FR-032] it is remembered, and not beyond its own end', async () => {
    const tokens = await twoIssuers()
    const text = await token({ exp: NOW_MS / 1000 + 30 })
    await tokens.verify(text, NOW_MS)
    expect(tokens.verifier.verifyToken(text, NOW_MS + 34_000)).not.toBeInstanceOf(Promise)
    expect(whoIn(await tokens.verify(text, NOW_MS + 36_000))).toBe('token.expired')
    const good = await token()
    await tokens.verify(good, NOW_MS)
    expect(whoIn(await tokens.verify(`${good.slice(0, -4)}AAAA`, NOW_MS))).toBe('token.signature')
  })
})

describe('subjects: local', () => {
  const open = () =>
    testTokens([
      entryOf({
        name: 'ci',
        keys: [ci.jwk],
        isLocal: true,
        roles: ['deployer'],
        claims: { roles: 'roles', scopes: 'scope', groups: null, email: 'email', name: 'name', more: {} },
      }),
    ])
  const token = (sub = 'u1') =>
    sign({ sub, email: 'evil@example.com', email_verified: true, name: 'Evil', roles: ['admin', 'deployer'] })

  test('[FR-038] the user is ours, with our e-mail and name; roles are the entry’s alone', async () => {
    const tokens = await open()
    tokens.users.set('u1', localUser('u1', { name: null, emailVerified: false }))
    expect(await tokens.verify(await token(), NOW_MS)).toMatchObject({
      principal: {
        subject: 'u1',
        source: 'ci',
        email: 'u1@example.com',
        emailVerified: false,
        name: null,
        roles: ['deployer'],
      },
      proofs: [{ names: expect.arrayContaining([nameOf.subject('u1'), nameOf.subject('ci:u1'), nameOf.issuer('ci')]) }],
    })
  })

  test('[FR-038] nobody we know, or somebody who is banned, is refused; a ban counts at once', async () => {
    const tokens = await open()
    expect(whoIn(await tokens.verify(await token(), NOW_MS))).toBe('token.subject')
    tokens.users.set('u1', localUser('u1', { bannedUntilMs: NOW_MS - 1 }))
    expect(whoIn(await tokens.verify(await token(), NOW_MS))).toBe('u1')
    tokens.users.set('u1', localUser('u1', { bannedUntilMs: Number.POSITIVE_INFINITY }))
    tokens.revocations.revoke(nameOf.subject('u1'))
    expect(whoIn(await tokens.verify(await token(), NOW_MS))).toBe('token.subject')
  })

  test('[FR-038] users that cannot be asked are 503', async () => {
    const tokens = await open()
    tokens.state.isDirectoryDown = true
    expect(whoIn(await tokens.verify(await token(), NOW_MS))).toBe('credential.unavailable')
  })
})

describe('whose token it is', () => {
  test('[FR-028] ours and signed session tokens go where they went before', async () => {
    const session = `${'a'.repeat(32)}.${'B'.repeat(43)}=`
    for (const tokens of [await twoIssuers(), await testTokens([])]) {
      expect(await tokens.verify(session, NOW_MS)).toBe(SESSION)
      expect(await tokens.verify(encodeURIComponent(session), NOW_MS)).toBe(SESSION)
      expect(await tokens.verify(await sign({ iss: 'http://localhost:8080' }), NOW_MS)).toBe(OWN)
      expect(await tokens.verify('opaque', NOW_MS)).toBe(OWN)
    }
  })

  test('[FR-028] with no issuers, nothing is read of a token', async () => {
    expect(await (await testTokens([])).verify(await sign(), NOW_MS)).toBe(OWN)
  })
})

test('[FR-029] an entry whose keys cannot verify anything is a mistake of the policy', async () => {
  const weak = { kty: 'oct', k: 'c2VjcmV0', kid: 'weak' }
  await expect(testTokens([entryOf({ name: 'ci', keys: [weak] })])).rejects.toThrow(/tokens\.ci\.keys.*weak/)
  const { logged, verify } = await testTokens([entryOf({ name: 'ci', keys: [weak, ci.jwk] })])
  expect(logged).toHaveLength(1)
  expect(whoIn(await verify(await sign(), NOW_MS))).toBe('ci:job-7')
})
