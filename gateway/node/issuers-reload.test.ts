/** What is known of an issuer outlives a reload that does not concern it, and what was lost meanwhile is lost. */

import { afterEach, beforeEach, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../upstream-mock/server.ts'
import { startTestGateway, type TestGateway } from '../test/support/gateway.ts'
import { type LiveIssuer, signToken, startIssuer } from '../test/support/issuer.ts'

let upstream: Upstream
let ci: LiveIssuer
let hr: LiveIssuer
let gateway: TestGateway

const policyOf = (...names: ('ci' | 'hr')[]) => {
  const entries = names.map((name) => `${name}: { issuer: "${{ ci, hr }[name].url}", audience: books }`)
  return `
version: 1
origin: ORIGIN
admission: { perAddress: off }
tokens: { ${entries.join(', ')} }
upstreams: { up: { url: UPSTREAM, assertion: false } }
routes: { /api/whoami: { to: up, access: login } }
`
}

beforeEach(async () => {
  ;[upstream, ci, hr] = await Promise.all([startUpstream(), startIssuer(), startIssuer()])
})

afterEach(async () => {
  await gateway?.close()
  await Promise.all([upstream.close(), ci.close(), hr.close()])
})

const status = async (token: string) =>
  (await fetch(`${gateway.origin}/api/whoami`, { headers: { authorization: `Bearer ${token}` } })).status

test('[FR-046] an issuer that is down keeps its keys when another one is added', async () => {
  const key = await ci.addKey('k1')
  await hr.addKey('k1')
  gateway = await startTestGateway({ policy: policyOf('ci'), upstreamUrl: upstream.url })
  expect(await status(await signToken(key, { iss: ci.url, sub: 'one' }))).toBe(200)
  ci.answers.set('/keys', (_request, response) => void response.writeHead(503).end())
  expect((await gateway.put(policyOf('ci', 'hr'))).outcome).toBe('done')
  expect(await status(await signToken(key, { iss: ci.url, sub: 'two' }))).toBe(200)
  expect(ci.hits('/keys')).toBe(1)
})

test('[FR-046] what a key vouched for is not remembered by issuers that come back without it', async () => {
  const lost = await ci.addKey('k1')
  await hr.addKey('k1')
  gateway = await startTestGateway({ policy: policyOf('ci'), upstreamUrl: upstream.url })
  const token = await signToken(lost, { iss: ci.url })
  expect(await status(token)).toBe(200)
  await gateway.put(policyOf('hr'))
  expect(await status(token)).toBe(401)
  ci.published.splice(0)
  await ci.addKey('k2')
  await gateway.put(policyOf('ci', 'hr'))
  expect(await status(token)).toBe(401)
})
