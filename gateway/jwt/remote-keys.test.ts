/** Key sets of a real issuer on a real socket: found, rotated, lost, too slow, too long, elsewhere; and how often it is asked. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Refusal } from '../model.ts'
import { type NodeOutbound, nodeOutbound } from '../node/outbound.ts'
import { DISCOVERY, type LiveIssuer, METADATA, makeKey, sendJson, startIssuer } from '../test/support/issuer.ts'
import { until } from '../test/support/until.ts'
import { createRemoteKeys, type Keys, type RemoteKeysSettings } from './remote-keys.ts'

const SECOND_MS = 1000
const COOLDOWN_MS = 30 * SECOND_MS
const KEEP_MS = 3600 * SECOND_MS

let outbound: NodeOutbound
let issuer: LiveIssuer
let stranger: LiveIssuer
let offsetMs: number
let lost: number
let logged: string[]
let opened: Keys[]

beforeAll(() => {
  outbound = nodeOutbound()
})

afterAll(() => outbound.close())

beforeEach(async () => {
  ;[issuer, stranger] = await Promise.all([startIssuer(), startIssuer()])
  offsetMs = 0
  lost = 0
  logged = []
  opened = []
  await issuer.addKey('k1')
})

afterEach(async () => {
  for (const keys of opened) keys.close()
  await Promise.all([issuer.close(), stranger.close()])
})

async function open(more: Partial<RemoteKeysSettings> = {}): Promise<Keys> {
  const keys = createRemoteKeys(
    {
      name: 'ci',
      issuer: issuer.url,
      jwksUrl: null,
      algorithms: ['ES256', 'RS256'],
      allowOrigins: [],
      maxAgeMs: 600 * SECOND_MS,
      keepMs: KEEP_MS,
      cooldownMs: COOLDOWN_MS,
      timeoutMs: 300,
      bytesMax: 4096,
      ...more,
    },
    {
      outbound,
      monotonicMs: () => performance.now() + offsetMs,
      onKeyLost: () => {
        lost += 1
      },
      log: (error) => logged.push(String(error)),
    },
  )
  opened.push(keys)
  await keys.start()
  return keys
}

const find = async (keys: Keys, kid: string | null, alg = 'ES256') => {
  const found = await keys.find(alg, kid)
  return found instanceof Refusal ? found.reason : found.length
}

describe('where keys are found', () => {
  test('[FR-029] by OpenID discovery, then at once', async () => {
    const keys = await open()
    expect(keys.find('ES256', 'k1')).not.toBeInstanceOf(Promise)
    expect(await find(keys, 'k1')).toBe(1)
    expect(keys.status()).toMatchObject({ keys: 1, lastError: null })
    expect([issuer.hits(DISCOVERY), issuer.hits('/keys')]).toEqual([1, 1])
  })

  test('[FR-029] by OAuth metadata, whose path stands before the issuer’s (RFC 8414)', async () => {
    const tenant = await startIssuer('/tenant')
    await tenant.addKey('t1')
    tenant.answers.set(`/tenant${DISCOVERY}`, (_request, response) => response.writeHead(404).end())
    tenant.answers.set(`${METADATA}/tenant`, (_request, response) =>
      sendJson(response, { issuer: tenant.url, jwks_uri: `${tenant.url}/keys` }),
    )
    expect(await find(await open({ issuer: tenant.url }), 't1')).toBe(1)
    await tenant.close()
  })

  test('[FR-029] at a fixed address, without discovery', async () => {
    expect(await find(await open({ jwksUrl: `${issuer.url}/keys` }), 'k1')).toBe(1)
    expect(issuer.hits(DISCOVERY)).toBe(0)
  })

  test('[FR-029] on another origin only where the entry lists it', async () => {
    await stranger.addKey('s1')
    issuer.answers.set(DISCOVERY, (_request, response) =>
      sendJson(response, { issuer: issuer.url, jwks_uri: `${stranger.url}/keys` }),
    )
    expect(await find(await open(), 's1')).toBe('keys.unavailable')
    expect(stranger.hits('/keys')).toBe(0)
    expect(await find(await open({ allowOrigins: [stranger.url] }), 's1')).toBe(1)
  })

  test('[FR-029] wherever the issuer keeps what nobody asks it for', async () => {
    discovers({
      issuer: issuer.url,
      jwks_uri: `${issuer.url}/keys`,
      introspection_endpoint: `${stranger.url}/introspect`,
    })
    expect(await find(await open(), 'k1')).toBe(1)
  })
})

const wrong: readonly (readonly [string, () => void])[] = [
  ['a document of another issuer', () => discovers({ issuer: stranger.url, jwks_uri: `${issuer.url}/keys` })],
  ['an issuer with a slash more', () => discovers({ issuer: `${issuer.url}/`, jwks_uri: `${issuer.url}/keys` })],
  ['a document without an issuer', () => discovers({ jwks_uri: `${issuer.url}/keys` })],
  ['a document without keys', () => discovers({ issuer: issuer.url })],
  ['keys at a file', () => discovers({ issuer: issuer.url, jwks_uri: 'file:///etc/passwd' })],
  ['keys within the document', () => discovers({ issuer: issuer.url, jwks_uri: 'data:application/json,{"keys":[]}' })],
  ['keys that are no text', () => discovers({ issuer: issuer.url, jwks_uri: [`${issuer.url}/keys`] })],
  ['keys on http beyond loopback', () => discovers({ issuer: issuer.url, jwks_uri: 'http://192.0.2.1/keys' })],
  [
    'keys with a password',
    () => discovers({ issuer: issuer.url, jwks_uri: `${issuer.url.replace('//', '//a:b@')}/keys` }),
  ],
  ['a redirected document', () => redirects(DISCOVERY, `${stranger.url}${DISCOVERY}`)],
  ['redirected keys', () => redirects('/keys', `${stranger.url}/keys`)],
  ['no key set', () => answers('/keys', '{"keys":{}}')],
  ['no JSON', () => answers('/keys', '<html>')],
  ['half a key set', () => answers('/keys', '{"keys":[')],
  [
    'a key set that is too long',
    () => answers('/keys', JSON.stringify({ keys: issuer.published, pad: 'x'.repeat(5000) })),
  ],
  ['a key set without end', () => endless('/keys')],
  ['a key set that never comes', () => issuer.answers.set('/keys', () => {})],
  ['a key set that trickles', () => trickles('/keys')],
  ['an error', () => issuer.answers.set('/keys', (_request, response) => response.writeHead(500).end())],
]

function discovers(document: object): void {
  issuer.answers.set(DISCOVERY, (_request, response) => sendJson(response, document))
}

function redirects(path: string, to: string): void {
  issuer.answers.set(path, (_request, response) => response.writeHead(302, { location: to }).end())
}

function answers(path: string, text: string): void {
  issuer.answers.set(path, (_request, response) => response.writeHead(200).end(text))
}

function endless(path: string): void {
  issuer.answers.set(path, (_request, response) => {
    const timer = setInterval(() => response.write('x'.repeat(65_536)), 5)
    response.on('close', () => clearInterval(timer))
  })
}

function trickles(path: string): void {
  issuer.answers.set(path, (_request, response) => {
    const timer = setInterval(() => response.write(' '), 20)
    response.on('close', () => clearInterval(timer))
  })
}

describe('what is no key set of this issuer', () => {
  for (const [what, arrange] of wrong) {
    test(`[FR-029] ${what}: no keys, said once, and the start goes on`, async () => {
      arrange()
      await stranger.addKey('k1')
      const before = performance.now()
      const keys = await open()
      expect(performance.now() - before).toBeLessThan(1000)
      expect(keys.status()).toMatchObject({ keys: 0, ageMs: null })
      expect(keys.status().lastError).not.toBeNull()
      expect(logged).toHaveLength(1)
      issuer.answers.clear()
      expect(stranger.hits('/keys')).toBe(0)
    })
  }

  test('[FR-029] without keys a token is 503, and one read per cooldown is tried', async () => {
    issuer.answers.set('/keys', (_request, response) => response.writeHead(500).end())
    const keys = await open()
    for (let at = 0; at < 20; at += 1) expect(await find(keys, `x${at}`)).toBe('keys.unavailable')
    expect(issuer.hits('/keys')).toBe(2)
    issuer.answers.clear()
    offsetMs += COOLDOWN_MS
    expect(await find(keys, 'k1')).toBe(1)
  })
})

describe('rotation', () => {
  test('[FR-029] a new key is found with one read, for all who ask at once, and the old one serves meanwhile', async () => {
    const keys = await open()
    await issuer.addKey('k2')
    let release: () => void = () => {}
    issuer.answers.set('/keys', (_request, response) => {
      release = () => sendJson(response, { keys: issuer.published })
    })
    const waiting = Array.from({ length: 50 }, () => find(keys, 'k2'))
    await until(() => issuer.hits('/keys') === 2, 'the second read')
    expect(keys.find('ES256', 'k1')).not.toBeInstanceOf(Promise)
    release()
    expect(await Promise.all(waiting)).toEqual(Array.from({ length: 50 }, () => 1))
    expect(issuer.hits('/keys')).toBe(2)
  })

  test('[FR-029] unknown kids without end cost one read per cooldown', async () => {
    const keys = await open()
    for (let at = 0; at < 2000; at += 1) expect(await find(keys, `x${at}`)).toBe('token.key-unknown')
    expect(issuer.hits('/keys')).toBe(2)
    await issuer.addKey('k2')
    expect(await find(keys, 'k2')).toBe('token.key-unknown')
    offsetMs += COOLDOWN_MS
    expect(await find(keys, 'k2')).toBe(1)
    expect(issuer.hits('/keys')).toBe(3)
  })

  test('[FR-029] a kid that a read did not find is not looked for again before its own cooldown', async () => {
    const keys = await open({ cooldownMs: COOLDOWN_MS })
    expect(await find(keys, 'x')).toBe('token.key-unknown')
    offsetMs += COOLDOWN_MS - 1000
    expect(await find(keys, 'x')).toBe('token.key-unknown')
    expect(issuer.hits('/keys')).toBe(2)
    offsetMs += 2000
    expect(await find(keys, 'x')).toBe('token.key-unknown')
    expect(issuer.hits('/keys')).toBe(3)
  })

  test('[FR-029] it waits for no other read either', async () => {
    const keys = await open({ maxAgeMs: 40, timeoutMs: 2000 })
    expect(await find(keys, 'x')).toBe('token.key-unknown')
    const hits = issuer.hits('/keys')
    let isAnswered = false
    issuer.answers.set('/keys', (_request, response) => {
      setTimeout(() => {
        isAnswered = true
        sendJson(response, { keys: issuer.published })
      }, 500)
    })
    await until(() => issuer.hits('/keys') > hits + 1, 'a read in the background')
    isAnswered = false
    expect(await find(keys, 'x')).toBe('token.key-unknown')
    expect(isAnswered).toBe(false)
  })

  test('[FR-029] closed while it reads, it reads no more', async () => {
    const keys = await open({ maxAgeMs: 20, timeoutMs: 2000 })
    let release: (() => void) | null = null
    issuer.answers.set('/keys', (_request, response) => {
      release = () => sendJson(response, { keys: issuer.published })
    })
    await until(() => release !== null, 'a read in the background')
    keys.close()
    const reading = keys.start()
    release!()
    await reading
    const hits = issuer.hits('/keys')
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(issuer.hits('/keys')).toBe(hits)
  })

  test('[FR-029] one read at a time', async () => {
    const keys = await open()
    await Promise.all([keys.start(), keys.start(), find(keys, 'x')])
    expect(issuer.hits('/keys')).toBeLessThanOrEqual(3)
    const hits = issuer.hits('/keys')
    await Promise.all([keys.start(), keys.start(), keys.start()])
    expect(issuer.hits('/keys')).toBe(hits + 1)
  })

  test('[FR-029] a known kid with another algorithm makes nobody read', async () => {
    const keys = await open()
    expect(await find(keys, 'k1', 'RS256')).toBe('token.algorithm')
    expect(issuer.hits('/keys')).toBe(1)
  })

  test('[FR-029] a key that is published no more is gone, and what it verified is dropped', async () => {
    const keys = await open()
    await issuer.addKey('k2')
    expect(await find(keys, 'k2')).toBe(1)
    expect(lost).toBe(0)
    issuer.published.shift()
    offsetMs += COOLDOWN_MS
    expect(await find(keys, 'k3')).toBe('token.key-unknown')
    expect(lost).toBe(1)
    expect(await find(keys, 'k1')).toBe('token.key-unknown')
  })

  test('[FR-029] another key under the same kid is another key', async () => {
    const keys = await open()
    issuer.published.splice(0, 1, (await makeKey('k1')).jwk)
    expect(await find(keys, 'x')).toBe('token.key-unknown')
    expect(lost).toBe(1)
  })

  test('[FR-029] it is read again in the background, and a rotation with overlap fails nobody', async () => {
    const keys = await open({ maxAgeMs: 40 })
    await issuer.addKey('k2')
    await until(() => keys.status().keys === 2, 'the new key, unasked')
    issuer.published.shift()
    await until(() => lost === 1, 'the old key’s end')
    expect(await find(keys, 'k2')).toBe(1)
    keys.close()
    const hits = issuer.hits('/keys')
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(issuer.hits('/keys')).toBeLessThanOrEqual(hits + 1)
  })
})

describe('an issuer that is down', () => {
  test('[FR-029] the last good keys serve as long as they are kept, and no longer', async () => {
    const keys = await open()
    issuer.answers.set('/keys', (_request, response) => response.writeHead(503).end())
    offsetMs += KEEP_MS - SECOND_MS
    expect(await find(keys, 'k1')).toBe(1)
    expect(await find(keys, 'x')).toBe('keys.unavailable')
    expect(keys.status()).toMatchObject({ keys: 1 })
    expect(keys.status().lastError).toContain('200')
    offsetMs += 2 * SECOND_MS
    expect(await find(keys, 'k1')).toBe('keys.unavailable')
    issuer.answers.clear()
    offsetMs += COOLDOWN_MS
    expect(await find(keys, 'k1')).toBe(1)
    expect(keys.status().lastError).toBeNull()
  })

  test('[FR-029] one that hangs collects a bounded number of requests', async () => {
    const keys = await open({ timeoutMs: 400 })
    issuer.answers.set('/keys', () => {})
    const before = performance.now()
    let settled = 0
    const count = () => {
      settled += 1
    }
    const finding = Array.from({ length: 300 }, (_, at) => find(keys, `x${at}`).finally(count))
    await new Promise((resolve) => setImmediate(resolve))
    expect(settled).toBe(300 - 128)
    const found = await Promise.all(finding)
    expect(new Set(found)).toEqual(new Set(['keys.unavailable']))
    expect(performance.now() - before).toBeLessThan(1500)
    expect(await find(keys, 'k1')).toBe(1)
  })
})

test('[FR-029] a weak key in a set is named, once while nothing changes, and the others serve', async () => {
  issuer.published.push({ kty: 'oct', k: 'c2VjcmV0', kid: 'weak' })
  const keys = await open({ maxAgeMs: 30 })
  await until(() => issuer.hits('/keys') > 3, 'more reads')
  expect(await find(keys, 'k1')).toBe(1)
  expect(logged).toHaveLength(1)
  expect(logged[0]).toContain('"weak"')
  expect(logged[0]).not.toContain('c2VjcmV0')
})
