/** What a route may ask of its caller: a word, requirements, or either of these per method. Never two of the forms in one map. */

import { z } from 'zod'

const ACCESS_WORDS = ['deny', 'public', 'optional', 'login'] as const
const CREDENTIALS = ['session', 'token', 'key'] as const
/** `read` is GET and HEAD; `write` is every other method and WebSocket upgrades. */
export const METHOD_WORDS = ['read', 'write', 'WEBSOCKET'] as const

const Word = z.enum(ACCESS_WORDS).meta({
  description:
    '`deny`: the route does not exist. `public`: no identity. `optional`: identity when present; a bad credential is still 401. `login`: a signed-in session or an accepted token.',
  examples: ['login'],
})

export function oneOrMore<Item extends z.ZodType>(item: Item) {
  return z
    .union([item, z.array(item).min(1)])
    .transform((value): z.output<Item>[] => (Array.isArray(value) ? value : [value]))
}

export const Role = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$/, {
  error: 'expected a role name: letters, digits, `_`, `.`, `:` and `-`',
})
/** RFC 6749 §3.3. */
const Scope = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, { error: 'expected one scope, without blanks or quotes' })
const Email = z.string().regex(/^[^\s@*,;<>]{1,64}@[^\s@*,;<>]{1,255}$/, {
  error: 'expected one whole e-mail address, such as `alice@example.com`; patterns are not available',
})

const Requirement = z
  .strictObject({
    role: oneOrMore(Role)
      .optional()
      .meta({ description: 'Role the caller holds; of a list, any one.', examples: ['editor', ['admin', 'editor']] }),
    scope: oneOrMore(Scope)
      .optional()
      .meta({ description: 'OAuth scope of the token; of a list, any one.', examples: ['books:write'] }),
    email: oneOrMore(Email)
      .optional()
      .meta({
        description:
          'Verified e-mail address of the caller, compared whole and without regard to case; of a list, any one.',
        examples: ['alice@example.com'],
      }),
    with: oneOrMore(z.enum(CREDENTIALS))
      .optional()
      .meta({
        description: 'Credentials that are accepted. Default: session and token; API keys only where they are named.',
        examples: [['session']],
      }),
    when: z
      .string()
      .min(1)
      .max(1024)
      .optional()
      .meta({
        description:
          'CEL over `request`, `params`, `user` and `now`. Allows only when it is exactly true; an error, such as a fact that is missing, is a refusal.',
        examples: ['params.user == user.id'],
      }),
  })
  .refine((requirement) => Object.values(requirement).some((value) => value !== undefined), {
    error: 'the requirement asks for nothing: write `login`, or name a role, scope, email, with or when',
  })
  .meta({ description: 'Requirements: keys are ANDed, the values of a list are ORed.', examples: [{ role: 'editor' }] })

const Single = z.union([Word, Requirement])

const MethodKey = z.string().regex(/^(?:read|write|(?!(?:CONNECT|TRACE|TRACK)$)[A-Z][A-Z-]{0,31})$/, {
  error: 'expected `read`, `write`, `WEBSOCKET` or a method in upper case',
})

const ByMethod = z
  .record(MethodKey, Single)
  .refine((map) => Object.keys(map).length > 0, { error: 'no method is listed' })
  .meta({
    description:
      'Access per method. `read` is GET and HEAD, `write` all others and WebSocket upgrades; a method by name wins over both, GET implies HEAD, `WEBSOCKET` names upgrades. A method left out is refused.',
    examples: [{ read: 'public', write: { role: 'editor' } }],
  })

export const AccessConfig = z.union([Word, Requirement, ByMethod])

export type AccessConfig = z.output<typeof AccessConfig>
export type SingleAccess = z.output<typeof Single>
