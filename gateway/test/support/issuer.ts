/** An issuer on a real socket: discovery, a key set that rotates, introspection, and on command whatever goes wrong with them. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose'

export interface IssuerKey {
  readonly kid: string
  readonly alg: string
  readonly jwk: JWK
  readonly privateKey: CryptoKey
}

export type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void

export interface LiveIssuer {
  /** Its identifier. */
  readonly url: string
  /** What it publishes now; a test rewrites it. */
  readonly published: JWK[]
  /** By path, in place of what it would say. */
  readonly answers: Map<string, Answer>
  /** What introspection says, by token; absent: `{active: false}`. */
  readonly tokens: Map<string, object>
  /** Introspection requests so far: their Authorization and body. */
  readonly asked: readonly { readonly authorization: string; readonly body: string }[]
  hits(path: string): number
  /** Makes a key and publishes it. */
  addKey(kid: string, alg?: string): Promise<IssuerKey>
  close(): Promise<void>
}

export const DISCOVERY = '/.well-known/openid-configuration'
export const METADATA = '/.well-known/oauth-authorization-server'

export async function makeKey(kid: string, alg = 'ES256'): Promise<IssuerKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  return { kid, alg, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }, privateKey }
}

/** A token that is good but for what the test changes; a claim or parameter of `undefined` is left out. */
export function signToken(
  key: IssuerKey,
  claims: Readonly<Record<string, unknown>>,
  header: Partial<JWTHeaderParameters> = {},
  nowMs = Date.now(),
): Promise<string> {
  const now = Math.floor(nowMs / 1000)
  const payload: JWTPayload = { aud: 'books', sub: 'job-7', iat: now, exp: now + 600, ...claims }
  return new SignJWT(payload)
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'at+jwt', ...header } as JWTHeaderParameters)
    .sign(key.privateKey)
}

export async function startIssuer(path = ''): Promise<LiveIssuer> {
  const published: JWK[] = []
  const answers = new Map<string, Answer>()
  const tokens = new Map<string, object>()
  const asked: { authorization: string; body: string }[] = []
  const hits = new Map<string, number>()
  let url = ''

  const defaults: Readonly<Record<string, () => object>> = {
    [`${path}${DISCOVERY}`]: () => ({
      issuer: url,
      jwks_uri: `${url}/keys`,
      introspection_endpoint: `${url}/introspect`,
    }),
    [`${path}/keys`]: () => ({ keys: published }),
  }
  const server = createServer(async (request, response) => {
    const target = request.url ?? ''
    hits.set(target, (hits.get(target) ?? 0) + 1)
    let body = ''
    for await (const chunk of request) body += chunk
    const own = answers.get(target)
    if (own !== undefined) {
      own(request, response, body)
      return
    }
    if (target === `${path}/introspect`) {
      asked.push({ authorization: request.headers.authorization ?? '', body })
      sendJson(response, tokens.get(new URLSearchParams(body).get('token') ?? '') ?? { active: false })
      return
    }
    const document = defaults[target]
    if (document === undefined) response.writeHead(404).end()
    else sendJson(response, document())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`
  return {
    url,
    published,
    answers,
    tokens,
    asked,
    hits: (asked) => hits.get(asked) ?? 0,
    async addKey(kid, alg) {
      const key = await makeKey(kid, alg)
      published.push(key.jwk)
      return key
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export function sendJson(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}
