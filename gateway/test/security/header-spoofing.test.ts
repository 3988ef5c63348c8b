/**
 * CWE-290, CWE-444: identity forged in a header (CVE-2025-64484, CVE-2026-33433, CVE-2026-39858, CVE-2026-54763, CVE-2026-52845,
 * CVE-2024-45410, CVE-2026-29054, CVE-2026-88004). Every name that some backend believes, in every spelling that some backend
 * folds into it, on every kind of route, over HTTP and in an upgrade; judged by the bytes that reached the upstream.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { isWhole, rawClient } from '../support/raw.ts'

/** Written out here and not taken from the code it tests: a name deleted there must fail here. */
const NAMES = `
  X-Forwarded-User X-Forwarded-Email X-Forwarded-Preferred-Username X-Forwarded-Groups X-Forwarded-Access-Token
  X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Groups X-Auth-Request-Preferred-Username X-Auth-Request-Access-Token
  X-Auth-Request-Redirect Remote-User Remote-Groups Remote-Name Remote-Email
  X-WEBAUTH-USER X-WEBAUTH-EMAIL X-WEBAUTH-NAME X-WEBAUTH-FULLNAME X-WEBAUTH-ROLE X-WEBAUTH-GROUPS
  X-Remote-User X-Remote-Group X-Remote-Extra-Scopes X-authentik-username X-authentik-groups X-authentik-entitlements
  X-authentik-email X-authentik-name X-authentik-uid X-authentik-jwt X-authentik-meta-app
  X-Pomerium-Jwt-Assertion X-Pomerium-Claim-Email X-Pomerium-Claim-Sub X-Pomerium-Claim-User X-Pomerium-Claim-Name
  X-Pomerium-Claim-Groups Cf-Access-Jwt-Assertion Cf-Access-Authenticated-User-Email
  x-goog-iap-jwt-assertion X-Goog-Authenticated-User-Email X-Goog-Authenticated-User-Id
  x-amzn-oidc-data x-amzn-oidc-identity x-amzn-oidc-accesstoken
  X-Consumer-ID X-Consumer-Username X-Consumer-Custom-ID X-Consumer-Groups X-Credential-Identifier X-Anonymous-Consumer
  X-Authenticated-Groups X-Userinfo X-ID-Token X-Access-Token X-Raw-ID-Token X-Vouch-User X-Vouch-IdP-Claims-Email
  SM-USER OIDC-CLAIM-email OIDC-Claim-Sub Tailscale-User-Login X-Postern-Assertion X-Postern-Client-Ip
  X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host X-Forwarded-Port X-Forwarded-Prefix X-Forwarded-Uri X-Forwarded-Method
  X-Forwarded-Login X-Forwarded-Mail X-Forwarded-DisplayName X-Forwarded-Client-Cert Forwarded X-Original-URL X-Original-URI
  X-Original-Host X-Original-Method X-Rewrite-URL X-HTTP-Method X-HTTP-Method-Override X-Method-Override
  X-Middleware-Subrequest X-Envoy-Original-Path X-Envoy-External-Address Proxy X-Real-IP True-Client-IP X-Client-IP
  CF-Connecting-IP Fastly-Client-IP X-Cluster-Client-IP X-Client-Cert SSL-Client-Cert X-SSL-Client-Cert X-SSL-Client-S-DN
  x-proxy-user x-proxy-roles x-webobjects-remote-user X-User-Id X-User-Email X-User-Roles X-User-Scopes X-Books-Owner
`
  .trim()
  .split(/\s+/)

const POLICY = `
version: 1
origin: ORIGIN
login: { signup: open, allowUnverifiedEmail: true }
upstreams:
  books: { url: UPSTREAM, assertion: false }
  mapped: { url: UPSTREAM, assertion: false, identity: { X-Books-Owner: id } }
  basic: { url: UPSTREAM, assertion: false, identity: basic }
  authentik: { url: UPSTREAM, assertion: false, identity: authentik }
  pomerium: { url: UPSTREAM, assertion: false, identity: pomerium }
  cloudflare: { url: UPSTREAM, assertion: false, identity: cloudflare }
  iap: { url: UPSTREAM, assertion: false, identity: iap }
  kong: { url: UPSTREAM, assertion: false, identity: kong }
routes:
  /**: { to: books, access: public }
  /api/whoami: { to: books, access: login }
  /api/books: { to: books, access: public }
  /ws: { to: books, access: login }
  /ws/public: { to: books, access: public }
  /mapped: { to: mapped, access: login }
  /basic: { to: basic, access: login }
  /basic/public: { to: basic, access: public }
  /authentik: { to: authentik, access: login }
  /pomerium: { to: pomerium, access: login }
  /cloudflare: { to: cloudflare, access: login }
  /iap: { to: iap, access: login }
  /kong: { to: kong, access: login }
`

const FORGED = 'forged-4711'
const CONTROL = 'control-0815'

let upstream: Upstream
let gateway: TestGateway
let ada: SignedIn

beforeAll(async () => {
  upstream = await startUpstream({ record: true })
  gateway = await startTestGateway({ policy: POLICY, upstreamUrl: upstream.url })
  ada = await signIn(gateway, 'ada@example.com', ['user'])
})

afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

const spellings: readonly (readonly [string, (name: string) => string])[] = [
  ['as it stands', (name) => name],
  ['with underscores', (name) => name.replaceAll('-', '_')],
  ['with dots', (name) => name.replaceAll('-', '.')],
  ['in mixed folds', (name) => name.replace('-', '_')],
  ['in other case', (name) => [...name].map((c, at) => (at % 2 === 0 ? c.toLowerCase() : c.toUpperCase())).join('')],
]

/** `written`: what says who calls, where Ada does. */
const routes = [
  { kind: 'a public route over HTTP', path: '/api/books', isLogin: false, isUpgrade: false, written: '' },
  {
    kind: 'a login route over HTTP',
    path: '/api/whoami',
    isLogin: true,
    isUpgrade: false,
    written: 'X-Forwarded-User: WHO',
  },
  {
    kind: 'a route with a map of its own',
    path: '/mapped',
    isLogin: true,
    isUpgrade: false,
    written: 'X-Books-Owner: WHO',
  },
  {
    kind: 'the preset authentik',
    path: '/authentik',
    isLogin: true,
    isUpgrade: false,
    written: 'X-authentik-uid: WHO',
  },
  {
    kind: 'the preset pomerium',
    path: '/pomerium',
    isLogin: true,
    isUpgrade: false,
    written: 'X-Pomerium-Claim-Sub: WHO',
  },
  {
    kind: 'the preset cloudflare',
    path: '/cloudflare',
    isLogin: true,
    isUpgrade: false,
    written: 'Cf-Access-Authenticated-User-Email: ada@example.com',
  },
  {
    kind: 'the preset iap',
    path: '/iap',
    isLogin: true,
    isUpgrade: false,
    written: 'X-Goog-Authenticated-User-ID: accounts.google.com:WHO',
  },
  { kind: 'the preset kong', path: '/kong', isLogin: true, isUpgrade: false, written: 'X-Consumer-ID: WHO' },
  {
    kind: 'the preset basic',
    path: '/basic',
    isLogin: true,
    isUpgrade: false,
    written: `Authorization: Basic ${btoa('ada@example.com:')}`,
  },
  { kind: 'a public upgrade', path: '/ws/public', isLogin: false, isUpgrade: true, written: '' },
  { kind: 'a login upgrade', path: '/ws', isLogin: true, isUpgrade: true, written: 'X-Forwarded-User: WHO' },
] as const

type Tested = (typeof routes)[number]

for (const route of routes) {
  describe(route.kind, () => {
    for (const [how, spell] of spellings) {
      test(`[FR-005] ${route.kind}: no reserved name ${how} reaches the upstream`, async () => {
        const seen = await forward(
          route,
          NAMES.map((name) => `${spell(name)}: ${FORGED}`),
        )
        expect(seen).not.toContain(FORGED)
      })
    }

    test(`[FR-005] ${route.kind}: a name that Connection nominates is neither passed nor able to delete ours`, async () => {
      const nominated = ['X-Nominated', ...NAMES].map((name) => name.toLowerCase())
      const upgrade = route.isUpgrade ? 'Upgrade, ' : ''
      const seen = await forward(route, [`X-Nominated: ${FORGED}`], `${upgrade}${nominated.join(', ')}`)
      expect(seen).not.toContain(FORGED)
      const written = route.written.replace('WHO', ada.id).toLowerCase()
      if (route.isLogin) expect(seen.toLowerCase().split('\r\n')).toContain(written)
      expect(seen.toLowerCase()).toContain('x-forwarded-for: 127.0.0.1')
    })

    test(`[FR-005] ${route.kind}: our cookies and the credential stay, other cookies pass`, async () => {
      const seen = await forward(route, [])
      expect(seen).not.toMatch(/session_token/i)
      expect(seen).not.toContain(ada.token)
      expect(seen).toContain('theme=dark')
    })
  })
}

test('[FR-044] where Authorization says who calls, nobody calls as anybody else on a public route', async () => {
  upstream.forget()
  const client = await rawClient(gateway.url)
  const forged = `Basic ${btoa('ada@example.com:')}`
  const lines = [`Authorization: ${forged}`, `Connection: close`, `X-Control: ${CONTROL}`]
  client.send(['GET /basic/public HTTP/1.1', `Host: ${host()}`, ...lines, '', ''].join('\r\n'))
  await client.until(isWhole)
  client.close()
  expect(recorded()).toContain(CONTROL)
  expect(recorded()).not.toMatch(/^authorization:/im)
})

test('[FR-005] a reserved name in a trailer never reaches the upstream', async () => {
  for (const path of ['/api/books', '/api/whoami']) {
    upstream.forget()
    const client = await rawClient(gateway.url)
    const trailers = NAMES.flatMap((name) => [name, name.replaceAll('-', '_')]).map((name) => `${name}: ${FORGED}\r\n`)
    client.send(
      `POST ${path} HTTP/1.1\r\nHost: ${host()}\r\nAuthorization: Bearer ${ada.token}\r\nX-Control: ${CONTROL}\r\n` +
        `Transfer-Encoding: chunked\r\nTrailer: X-Forwarded-User\r\n\r\n3\r\nabc\r\n0\r\n${trailers.slice(0, 200).join('')}\r\n`,
    )
    await client.until(isWhole)
    client.close()
    const seen = recorded()
    expect(seen).toContain(CONTROL)
    expect(seen).not.toContain(FORGED)
    expect(seen.toLowerCase()).not.toContain('\ntrailer:')
  }
})

/** Sends one request and returns the bytes that reached the upstream; a control field shows that they are this request's. */
async function forward(route: Tested, lines: readonly string[], connection?: string): Promise<string> {
  upstream.forget()
  const client = await rawClient(gateway.url)
  const upgrade = ['Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
  const nominated = connection ?? (route.isUpgrade ? 'Upgrade' : null)
  const head = [
    `GET ${route.path} HTTP/1.1`,
    `Host: ${host()}`,
    `X-Control: ${CONTROL}`,
    ...(nominated === null ? [] : [`Connection: ${nominated}`]),
    ...(route.isUpgrade ? [...upgrade, `Origin: ${gateway.origin}`] : []),
    `Cookie: theme=dark; ${ada.cookie}`,
    ...(route.isLogin ? [`Authorization: Bearer ${ada.token}`] : []),
    ...lines,
  ]
  client.send(`${head.join('\r\n')}\r\n\r\n`)
  await client.until((text) => (text.startsWith('HTTP/1.1 101') ? text.includes('\r\n\r\n') : isWhole(text)))
  client.close()
  const seen = recorded()
  expect(seen).toContain(CONTROL)
  return seen
}

function host(): string {
  return new URL(gateway.origin).host
}

function recorded(): string {
  return Buffer.concat(upstream.recordings()).toString('latin1')
}
