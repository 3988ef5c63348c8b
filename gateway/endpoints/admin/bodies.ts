/** What calls of the admin API carry: JSON with known fields alone, each with a bound. */

import { z } from 'zod'
import { Refusal } from '../../model.ts'
import type { RevocationRequest } from '../../ports.ts'
import type { RateRule } from '../../rules.ts'

const Id = z.string().regex(/^[\x21-\x7e]{1,256}$/, { error: 'expected 1 to 256 characters without blanks' })
/** A subject of another issuer may be any text that a token of it may name (jwt/foreign.ts). */
const Subject = z
  .string()
  .regex(/^[^\p{Cc}]{1,512}$/u, { error: 'expected 1 to 512 characters, none of them a control' })
const Time = z.iso
  .datetime({ error: 'expected a time as `2027-01-31T12:00:00Z`' })
  .transform((text) => Date.parse(text))

const RevocationBody = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('session'), id: Id }),
  z.strictObject({ kind: z.literal('user'), id: Subject }),
  z.strictObject({
    kind: z.literal('token'),
    source: Id,
    id: Subject,
    subject: Subject.optional(),
    expiresAt: Time.optional(),
  }),
  z.strictObject({ kind: z.literal('key'), id: Id }),
  z.strictObject({ kind: z.literal('kid'), source: Id, id: Subject }),
  z.strictObject({ kind: z.literal('issuer'), source: Id }),
  z.strictObject({ kind: z.literal('all') }),
])

/** The same words as the policy's `keys.limit`. */
const UNIT_MS = { s: 1000, min: 60_000, h: 3_600_000 } as const
const Limit = z
  .string()
  .regex(/^[1-9]\d{0,8}\/(?:s|min|h)$/, { error: 'expected a rate, such as `100/min`' })
  .transform((text): RateRule => {
    const [count, unit] = text.split('/') as [string, keyof typeof UNIT_MS]
    return { burst: Number(count), intervalMs: UNIT_MS[unit] / Number(count) }
  })

const KeyBody = z.strictObject({
  owner: Id,
  name: z.string().min(1).max(32),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, { error: 'expected a scope (RFC 6749 §3.3)' }))
    .max(64)
    .default([]),
  expiresAt: Time.optional(),
  limit: Limit.optional(),
})
export type KeyBody = z.output<typeof KeyBody>

/** In `sources`, but no issuer whose subjects are named after it. */
const OWN_SOURCE = 'postern'
const TYPE = Object.freeze(new Refusal('body.type'))

/** RFC 8259 as UTF-8, of at most what the listener reads. */
async function read<T>(request: Request, shape: z.ZodType<T>): Promise<T | Refusal> {
  const type = request.headers.get('content-type') ?? ''
  if (!/^application\/json *(?:; *charset=utf-8)?$/i.test(type)) return TYPE
  let value: unknown
  try {
    value = JSON.parse(await request.text())
  } catch {
    return invalid('The body is not JSON.')
  }
  const parsed = shape.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const at = issue === undefined || issue.path.length === 0 ? 'body' : issue.path.join('.')
  return invalid(`${at}: ${issue?.message ?? 'not as expected'}`)
}

export function invalid(detail: string): Refusal {
  return new Refusal('body.invalid', { detail })
}

export function readKey(request: Request): Promise<KeyBody | Refusal> {
  return read(request, KeyBody)
}

export async function readRevocation(
  request: Request,
  sources: ReadonlySet<string>,
): Promise<RevocationRequest | Refusal> {
  const body = await read(request, RevocationBody)
  if (body instanceof Refusal) return body
  if ('source' in body && !sources.has(body.source)) {
    return invalid(`source: there is none of this name; there are ${[...sources].join(', ')}`)
  }
  switch (body.kind) {
    case 'session':
    case 'key':
      return body
    case 'user':
      return isSubject(body.id, sources) ? { kind: 'subject', subject: body.id } : NOT_SUBJECT
    case 'token':
      return {
        kind: 'token',
        source: body.source,
        tokenId: body.id,
        subject: body.subject ?? null,
        expiresAtMs: body.expiresAt ?? null,
      }
    case 'kid':
      return { kind: 'kid', source: body.source, kid: body.id }
    case 'issuer':
      return { kind: 'issuer', source: body.source }
    case 'all':
      return { kind: 'everything' }
  }
}

const NOT_SUBJECT = invalid(
  'id: expected the id of a user, or <source>:<sub> with a source under tokens; no e-mail address',
)

/** Of ours no id holds a colon or an @; what neither we nor an issuer of the policy can have named would revoke nobody. */
function isSubject(id: string, sources: ReadonlySet<string>): boolean {
  const colon = id.indexOf(':')
  if (colon < 0) return !id.includes('@')
  const source = id.slice(0, colon)
  return source !== OWN_SOURCE && sources.has(source)
}
