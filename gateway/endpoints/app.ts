/** The gateway's own paths, as one Hono app that takes requests rebuilt from an admitted head; whatever is not listed here does not exist. */

import { type Context, Hono } from 'hono'
import { Refusal } from '../model.ts'
import { changeAccount, showAccount } from './account.ts'
import { dressed, pageAnswer, refusalAnswer, requestIdOf, word } from './answers.ts'
import { type EndpointDeps, hasPages, hostOf, type PageDeps } from './deps.ts'
import { isProblemCode, problemPage } from './pages/problem.ts'
import { showSignIn, showSignUp, signIn, signUp } from './sign-in.ts'
import { FORGET, showSignOut, signOut } from './sign-out.ts'

export interface Endpoints {
  /** Answers one admitted request. Never rejects: a bug is a 503. */
  fetch(request: Request): Promise<Response>
}

type Handler = (deps: PageDeps, request: Request) => Promise<Response>

const PAGES: readonly { readonly path: string; readonly show: Handler; readonly post: Handler }[] = [
  { path: '/_postern/sign-in', show: showSignIn, post: signIn },
  { path: '/_postern/sign-up', show: showSignUp, post: signUp },
  { path: '/_postern/sign-out', show: showSignOut, post: signOut },
  { path: '/_postern/account', show: showAccount, post: changeAccount },
]

/**
 * `x-request-id` and `x-postern-client-ip` of a request are believed: the runtime strips a client's own and writes ours
 * (SECURITY rule 1).
 */
export function createEndpoints(deps: EndpointDeps): Endpoints {
  const app = new Hono()
  const only = (...allow: string[]) => {
    return (c: Context) => refusalAnswer(new Refusal('method.refused', { allow }), c.req.raw, deps.origin)
  }

  app.get('/_postern/healthz', () => word(200, 'ok'))
  app.all('/_postern/healthz', only('GET', 'HEAD'))
  app.get('/_postern/readyz', async () => ((await isReady(deps)) ? word(200, 'ready') : word(503, 'unavailable')))
  app.all('/_postern/readyz', only('GET', 'HEAD'))
  app.get('/_postern/problems/:code', (c) => {
    const code = c.req.param('code')
    return isProblemCode(code) ? pageAnswer(200, problemPage({ host: hostOf(deps), code })) : c.notFound()
  })
  app.all('/_postern/problems/:code', (c) => {
    return isProblemCode(c.req.param('code')) ? only('GET', 'HEAD')(c) : c.notFound()
  })

  const { provider } = deps
  if (provider !== null) {
    app.all('/api/auth/*', async (c) => privately(await provider.handle(c.req.raw), c.req.path))
    app.get('/.well-known/jwks.json', async (c) => {
      try {
        return keySet(await provider.publicKeys())
      } catch (error) {
        deps.log(error)
        return refusalAnswer(new Refusal('keys.unavailable'), c.req.raw, deps.origin)
      }
    })
    app.all('/.well-known/jwks.json', only('GET', 'HEAD'))
  }
  if (hasPages(deps)) {
    for (const { path, show, post } of PAGES) {
      app.get(path, (c) => show(deps, c.req.raw))
      app.post(path, (c) => post(deps, c.req.raw))
      app.all(path, only('GET', 'HEAD', 'POST'))
    }
  }

  app.notFound((c) => refusalAnswer(new Refusal('route.unlisted'), c.req.raw, deps.origin))
  app.onError((error, c) => {
    deps.log(error)
    return refusalAnswer(new Refusal('gateway.bug'), c.req.raw, deps.origin)
  })

  return {
    async fetch(request) {
      return dressed(await app.fetch(request), requestIdOf(request))
    },
  }
}

/** Stores that cannot be asked are not ready either. */
async function isReady(deps: EndpointDeps): Promise<boolean> {
  if (deps.isEnding?.() === true) return false
  if (deps.provider === null) return true
  try {
    return await deps.provider.isReady()
  } catch (error) {
    deps.log(error)
    return false
  }
}

/** RFC 7517 §8.5.2. Verifiers may keep it for as long as a key is published before its first use. */
function keySet(keys: { readonly keys: readonly object[] }): Response {
  return new Response(JSON.stringify(keys), {
    headers: { 'content-type': 'application/jwk-set+json', 'cache-control': 'public, max-age=300' },
  })
}

/** An answer of the identity provider: kept by nobody, and after a sign-out the browser forgets what it kept. */
function privately(response: Response, path: string): Response {
  const headers = new Headers(response.headers)
  headers.set('cache-control', 'no-store')
  if (path === '/api/auth/sign-out' && response.ok) headers.set(...FORGET)
  return new Response(response.body, { status: response.status, headers })
}
