/**
 * The admin API, as one Hono app for a listener of its own. Every call is authorized before anything of it is read, and on
 * record before it is done; an answer of success means that the database has it (SECURITY rules 23 and 29).
 */

import { type Context, Hono } from 'hono'
import { type Principal, Refusal } from '../../model.ts'
import type { AuditEvent, LoggedRevocation, RevocationRequest, Revoked } from '../../ports.ts'
import { dressed, refusalAnswer, requestIdOf } from '../answers.ts'
import { invalid, readKey, readRevocation } from './bodies.ts'
import type { AdminDeps } from './deps.ts'
import { actorOf, admitAdmin } from './door.ts'

export interface AdminEndpoints {
  /** Answers one admitted request. Never rejects: a bug is a 503. */
  fetch(request: Request): Promise<Response>
}

/** `x-request-id` and `x-postern-client-ip` of a request are believed: the runtime strips a client's own and writes ours. */
export function createAdminEndpoints(deps: AdminDeps): AdminEndpoints {
  const app = new Hono<{ Variables: { principal: Principal } }>()
  const refused = (request: Request, refusal: Refusal) => refusalAnswer(refusal, request, deps.origin)
  const only = (...allow: string[]) => {
    return (c: AdminContext) => refuse(c, new Refusal('method.refused', { allow }))
  }

  app.use(async (c, next) => {
    const request = c.req.raw
    const { principal, refusal } = await admitAdmin(deps, request)
    if (refusal !== null) {
      await deps.audit.refuse(eventOf(request, principal), refusal.reason)
      return refused(request, refusal)
    }
    c.set('principal', principal)
    return next()
  })

  app.post('/v1/revocations', async (c) => {
    const wanted = await readRevocation(c.req.raw, deps.sources())
    if (wanted instanceof Refusal) return refuse(c, wanted)
    return act(c, `revoke ${wanted.kind}`, deps.revoker.nameOf(wanted), async () => {
      const revoked = await deps.revoker.revoke(wanted)
      return { answer: revokedAnswer(deps, 201, wanted, revoked), detail: revoked.sequences.join(' ') }
    })
  })
  app.get('/v1/revocations', async (c) => {
    const before = whole(c.req.query('before'), Number.MAX_SAFE_INTEGER)
    const limit = whole(c.req.query('limit'), PAGE_MAX)
    if (before === undefined || limit === undefined) {
      return refuse(c, invalid(`before and limit are numbers from 1, and limit is at most ${PAGE_MAX}`))
    }
    return act(c, 'list revocations', '-', async () => {
      const found = await deps.history.recent(before, limit ?? PAGE_DEFAULT)
      const next = found.length === (limit ?? PAGE_DEFAULT) ? (found.at(-1)?.sequence ?? null) : null
      return { answer: json(200, { revocations: found.map(shown), nextBefore: next }), detail: '' }
    })
  })
  app.all('/v1/revocations', only('GET', 'HEAD', 'POST'))

  app.post('/v1/keys', async (c) => {
    const wanted = await readKey(c.req.raw)
    if (wanted instanceof Refusal) return refuse(c, wanted)
    const { owner, name, scopes } = wanted
    const expiresAtMs = wanted.expiresAt ?? null
    return act(c, 'create key', `subject:${owner}`, async () => {
      try {
        const made = await deps.desk.create({ ownerId: owner, name, scopes, expiresAtMs, rate: wanted.limit ?? null })
        return {
          answer: json(201, { id: made.id, key: made.key }),
          detail: `key:${made.id} ${scopes.join(' ')}`.trim(),
        }
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        return { answer: refused(c.req.raw, invalid(error.message)), detail: error.message }
      }
    })
  })
  app.get('/v1/keys', async (c) => {
    const owner = c.req.query('owner') ?? null
    if (owner !== null && !ID.test(owner)) return refuse(c, invalid('owner: this is not the id of a user'))
    return act(c, 'list keys', owner === null ? '-' : `subject:${owner}`, async () => {
      const keys = (await deps.desk.list(owner)).map(({ id, name, ownerId, scopes, expiresAtMs }) => {
        return { id, name, owner: ownerId, scopes, expiresAt: expiresAtMs === null ? null : iso(expiresAtMs) }
      })
      return { answer: json(200, { keys }), detail: '' }
    })
  })
  app.all('/v1/keys', only('GET', 'HEAD', 'POST'))
  app.delete('/v1/keys/:id', async (c) => {
    const wanted: RevocationRequest = { kind: 'key', id: c.req.param('id') }
    if (!ID.test(wanted.id)) return refuse(c, invalid('this is not the id of a key'))
    return act(c, 'revoke key', deps.revoker.nameOf(wanted), async () => {
      const revoked = await deps.revoker.revoke(wanted)
      return { answer: revokedAnswer(deps, 200, wanted, revoked), detail: revoked.sequences.join(' ') }
    })
  })
  app.all('/v1/keys/:id', only('DELETE'))

  app.get('/v1/status', async (c) => {
    deps.audit.look(eventOf(c.req.raw, c.get('principal')))
    return json(200, await deps.status())
  })
  app.all('/v1/status', only('GET', 'HEAD'))
  app.get('/readyz', async (c) => {
    deps.audit.look(eventOf(c.req.raw, c.get('principal')))
    const { stores, log, policy, load, unwellServers, isEnding } = await deps.status()
    // Redis makes things faster, never truer: without it this node is as ready as before. So it is with the policy it has, when
    // another one was refused, and an upstream that is down is not ours to be ready.
    const isReady = stores.database === 'up' && log.isFresh && !isEnding
    return json(isReady ? 200 : 503, {
      ready: isReady,
      isLogFresh: log.isFresh,
      isEnding,
      load,
      stores,
      unwellServers,
      policy,
    })
  })
  app.all('/readyz', only('GET', 'HEAD'))
  app.get('/v1/decisions/:id', async (c) => {
    deps.audit.look(eventOf(c.req.raw, c.get('principal')))
    const decision = await deps.decision(c.req.param('id'))
    return decision === null ? refuse(c, NO_DECISION) : text(200, 'application/json', `${decision}\n`)
  })
  app.all('/v1/decisions/:id', only('GET', 'HEAD'))
  app.get('/metrics', async (c) => {
    deps.audit.look(eventOf(c.req.raw, c.get('principal')))
    const metrics = await deps.metrics()
    return text(200, metrics.contentType, metrics.text)
  })
  app.all('/metrics', only('GET', 'HEAD'))

  app.notFound((c) => refuse(c, new Refusal('route.unlisted')))
  app.onError((error, c) => {
    deps.log(error)
    return refused(c.req.raw, new Refusal('gateway.bug'))
  })

  return {
    async fetch(request) {
      return dressed(await app.fetch(request), requestIdOf(request))
    },
  }

  type AdminContext = Context<{ Variables: { principal: Principal } }>

  /** Somebody who may come in, with a call that makes no sense. */
  async function refuse(c: AdminContext, refusal: Refusal): Promise<Response> {
    await deps.audit.refuse(eventOf(c.req.raw, c.get('principal')), refusal.reason)
    return refused(c.req.raw, refusal)
  }

  /** On record first, then done, then answered. Nothing is done that could not be put on record. */
  async function act(
    c: AdminContext,
    action: string,
    target: string,
    work: () => Promise<{ readonly answer: Response; readonly detail: string }>,
  ): Promise<Response> {
    const event: AuditEvent = { ...eventOf(c.req.raw, c.get('principal')), action, target }
    let id: string
    try {
      id = await deps.audit.begin(event)
    } catch (error) {
      deps.log(error)
      return refused(c.req.raw, UNRECORDED)
    }
    try {
      const { answer, detail } = await work()
      await deps.audit.end(id, event, answer.ok ? 'done' : 'failed', detail)
      return answer
    } catch (error) {
      deps.log(error)
      await deps.audit.end(id, event, 'failed', 'store')
      return refused(c.req.raw, STORE)
    }
  }
}

const PAGE_DEFAULT = 100
const PAGE_MAX = 1000
const ID = /^[\x21-\x7e]{1,256}$/

const UNRECORDED = Object.freeze(new Refusal('audit.unavailable', { detail: 'Nothing was done.' }))
const STORE = Object.freeze(new Refusal('admin.store', { detail: 'Ask again: asking twice does no harm.' }))

const NO_DECISION = Object.freeze(
  new Refusal('decision.unknown', {
    detail:
      'This node keeps no decision of this id. It keeps refusals alone, the newest ones, since it started: ask the node that answered, or look for the id in its log.',
  }),
)

function eventOf(request: Request, principal: Principal | null): AuditEvent {
  return {
    actor: actorOf(principal),
    action: request.method,
    target: new URL(request.url).pathname,
    requestId: requestIdOf(request),
    clientAddress: request.headers.get('x-postern-client-ip'),
  }
}

function revokedAnswer(deps: AdminDeps, status: number, wanted: RevocationRequest, revoked: Revoked): Response {
  const { sequences, isCarried } = revoked
  const body = {
    revoked: deps.revoker.nameOf(wanted),
    sequences,
    carried: isCarried,
    withinSeconds: withinSeconds(deps, revoked),
  }
  return json(status, body, withinHeader(deps, revoked))
}

function withinSeconds(deps: AdminDeps, { isCarried }: Revoked): number {
  return isCarried ? 0 : Math.ceil(deps.maxStalenessMs / 1000)
}

/** SECURITY rule 23: said where other nodes learn of it by reading the log. */
function withinHeader(deps: AdminDeps, revoked: Revoked): Record<string, string> {
  return revoked.isCarried ? {} : { 'postern-revocation': `within=${withinSeconds(deps, revoked)}s` }
}

function shown({ sequence, effect, name, notBeforeMs, expiresAtMs }: LoggedRevocation): object {
  return { sequence, effect, name, notBefore: iso(notBeforeMs), expiresAt: iso(expiresAtMs) }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function json(status: number, body: object, headers: Record<string, string> = {}): Response {
  return new Response(`${JSON.stringify(body)}\n`, {
    status,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

function text(status: number, type: string, body: string): Response {
  return new Response(body, { status, headers: { 'content-type': type } })
}

/** Null when it is not given, undefined when it is no number from 1 to `max`. */
function whole(text: string | undefined, max: number): number | null | undefined {
  if (text === undefined) return null
  const number = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : Number.NaN
  return number <= max ? number : undefined
}
