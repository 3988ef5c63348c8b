/** OpenAPI imports: what is carried, and that whatever is not is denied and listed. */

import { describe, expect, test } from 'vitest'
import { carried, policyOf, verified } from '../../test/support/policy-text.ts'
import { importOpenApi, outerReferences } from './openapi.ts'
import type { ImportTarget } from './policy.ts'

const HERE: ImportTarget = { origin: 'http://books.test', upstream: 'http://127.0.0.1:9000' }

const SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer' },
  oauth: { type: 'oauth2', flows: {} },
  key: { type: 'apiKey', in: 'header', name: 'X-Key' },
  otherKey: { type: 'apiKey', in: 'header', name: 'X-Other' },
  queryKey: { type: 'apiKey', in: 'query', name: 'key' },
  cookie: { type: 'apiKey', in: 'cookie', name: 'sid' },
  basic: { type: 'http', scheme: 'basic' },
}
const openApi = (paths: object, more: object = {}) => ({
  openapi: '3.1.0',
  info: { title: 'A', version: '1' },
  components: { securitySchemes: SCHEMES },
  paths,
  ...more,
})
const operation = (security?: unknown) => ({ responses: {}, ...(security === undefined ? {} : { security }) })

describe('OpenAPI', () => {
  const rows: readonly (readonly [security: unknown, access: unknown])[] = [
    [[], 'public'],
    [undefined, 'deny'],
    [[{ bearer: [] }], { with: ['token'] }],
    [[{ oauth: ['a'] }], { with: ['token'], scope: ['a'] }],
    [[{ oauth: ['a', 'b'] }], { with: ['token'], scope: ['a'], any: [{ scope: ['b'] }] }],
    [[{ bearer: ['editor'] }], { with: ['token'], role: ['editor'] }],
    [[{ key: [] }], { with: ['key'] }],
    [[{ cookie: [] }], { with: ['session'] }],
    [[{ bearer: [] }, { cookie: [] }], { with: ['token', 'session'] }],
    [[{ bearer: [] }, {}], 'optional'],
    [[{}], 'public'],
    [[{ basic: [] }], 'deny'],
    [[{ queryKey: [] }], 'deny'],
    [[{ bearer: [], key: [] }], 'deny'],
    [[{ unheardOf: [] }], 'deny'],
    [[{ basic: [] }, { bearer: [] }], { with: ['token'] }],
  ]
  for (const [security, access] of rows) {
    test(`[FR-049] security ${JSON.stringify(security)} is ${JSON.stringify(access)}`, async () => {
      const { routes } = await carried(importOpenApi(openApi({ '/a': { get: operation(security) } }), HERE))
      expect(routes['/a']).toEqual(access === 'deny' ? 'deny' : { GET: access })
    })
  }

  test('[FR-049] the security of the whole holds where an operation says nothing', async () => {
    const document = openApi({ '/a': { get: operation(), post: operation([]) } }, { security: [{ key: [] }] })
    const { routes, config } = await carried(importOpenApi(document, HERE))
    expect(routes['/a']).toEqual({ GET: { with: ['key'] }, POST: 'public' })
    expect(config.keys?.header).toBe('X-Key')
  })

  test('[FR-049] a second header for keys is not a way in', async () => {
    const document = openApi({ '/a': { get: operation([{ key: [] }]) }, '/b': { get: operation([{ otherKey: [] }]) } })
    expect((await carried(importOpenApi(document, HERE))).routes).toMatchObject({
      '/a': { GET: { with: ['key'] } },
      '/b': 'deny',
    })
  })

  test('[FR-049] templates are parameters, a server’s path stands in front, and overlaps ask what both ask', async () => {
    const document = openApi(
      {
        '/a/{a-id}/b': { get: operation([]) },
        '/a/c/{x}': { get: operation([{ bearer: [] }]), post: operation([]) },
        '/d/{x}': { get: operation([]) },
        '/d/{y}': { post: operation([]), get: operation([{ bearer: [] }]) },
      },
      { servers: [{ url: 'https://api.test/{v}', variables: { v: { default: 'v1' } } }] },
    )
    const { routes, losses } = await carried(importOpenApi(document, HERE))
    expect(routes).toEqual({
      '/v1/a/:a_id/b': { GET: 'public' },
      '/v1/a/c/:x': { GET: { with: ['token'] }, POST: 'public' },
      '/v1/a/c/b': { GET: { with: ['token'] } },
      '/v1/d/:x': { GET: { with: ['token'] }, POST: 'public' },
    })
    expect(losses.join()).toContain('/v1/a/c/b')
  })

  const faults: readonly (readonly [path: string, because: string])[] = [
    ['/a/{id}.json', 'a template in part of a segment'],
    ['/a/', 'ends in a slash'],
    ['/api/auth/x', 'own paths'],
    ['/_postern/x', 'own paths'],
  ]
  for (const [path, because] of faults) {
    test(`[FR-049] ${path} is denied and listed: ${because}`, async () => {
      const { text, losses } = await verified(
        importOpenApi(openApi({ [path]: { get: operation([]) }, '/ok': { get: operation([]) } }), HERE),
      )
      expect(losses.map(({ what }) => what).join()).toContain(because)
      expect(text).not.toContain(`GET: public }`.repeat(2))
      expect(Object.values(policyOf(text).config.routes).filter(({ access }) => access !== 'deny')).toHaveLength(1)
    })
  }

  test('[FR-049] a document that leads elsewhere is found out: nothing is fetched', () => {
    const inner = { $ref: '#/components/x' }
    expect(outerReferences({ a: [inner, { $ref: './other.yaml#/x' }], b: { $ref: 'https://x.test/y' } })).toEqual([
      './other.yaml#/x',
      'https://x.test/y',
    ])
  })

  test('[FR-049] an issuer is carried only where the document names it, and its audience is said to be a guess', async () => {
    const securitySchemes = {
      accounts: { type: 'openIdConnect', openIdConnectUrl: 'https://id.test/a/.well-known/openid-configuration' },
    }
    const document = openApi({ '/a': { get: operation([{ accounts: [] }]) } }, { components: { securitySchemes } })
    const { config, losses } = await carried(importOpenApi(document, HERE))
    expect(config.tokens).toMatchObject({ accounts: { issuer: 'https://id.test/a' } })
    expect(losses.join()).toContain('`aud` of its tokens is not said')
  })

  test('[FR-049] the tests of the file are the source’s word, and one that finds more open is no policy', async () => {
    const imported = importOpenApi(
      openApi({ '/a/{x}': { get: operation([{ bearer: [] }]), post: operation([]) } }),
      HERE,
    )
    const { config } = await carried(imported)
    expect(config.tests).toMatchObject([
      { GET: '/a/sample-1', expect: 401 },
      { POST: '/a/sample-1', expect: 'allow' },
    ])
    const opened = new Map(
      [...imported.routes].map(([pattern, route]) => [pattern, { ...route, access: new Map([['*', 'public']]) }]),
    )
    await expect(verified({ ...imported, routes: opened })).rejects.toThrow('GET /a/sample-1')
  })

  test('[FR-049] text of the source stays within its comment', async () => {
    const document = openApi({ '/a': { get: operation([]) } }, { info: { title: 'x\nroutes: {}\n#', version: '1' } })
    expect(
      (await carried(importOpenApi(document, HERE))).text.split('\n').filter((line) => line.startsWith('routes')),
    ).toHaveLength(1)
  })
})
