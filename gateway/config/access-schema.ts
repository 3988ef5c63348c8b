/** What a route may ask of its caller: a word, requirements, or either of these per method. Never two of the forms in one map. */

import { z } from 'zod'
import { duration } from './units.ts'

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

/** A dotted quad or an IPv6 address, with or without a prefix length; `access.ts` reads it whole. */
const Network = z.string().regex(/^[0-9a-fA-F:.]+(?:\/\d{1,3})?$/, {
  error: 'expected an address or a CIDR, such as `10.0.0.0/8`',
})
const Group = z.string().regex(/^[^\x00-\x1f\x7f]{1,128}$/, { error: 'expected the name of a group' })
const ClaimName = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, { error: 'expected the name of a claim' })
const ClaimScalar = z.union([
  z.string().min(1).max(256),
  z.number().refine((value) => Math.abs(value) <= Number.MAX_SAFE_INTEGER, {
    error: 'expected a number below 2^53: beyond it, several numbers are one',
  }),
  z.boolean(),
])

const FACTS = {
  role: oneOrMore(Role)
    .optional()
    .meta({ description: 'Role the caller holds; of a list, any one.', examples: ['editor', ['admin', 'editor']] }),
  scope: oneOrMore(Scope)
    .optional()
    .meta({ description: 'OAuth scope of the token; of a list, any one.', examples: ['books:write'] }),
  group: oneOrMore(Group)
    .optional()
    .meta({ description: 'Group the caller is in; of a list, any one.', examples: ['staff'] }),
  email: oneOrMore(Email)
    .optional()
    .meta({
      description:
        'Verified e-mail address of the caller, compared whole and without regard to case; of a list, any one.',
      examples: ['alice@example.com'],
    }),
  claim: z
    .record(ClaimName, oneOrMore(ClaimScalar))
    .refine((map) => Object.keys(map).length > 0, { error: 'no claim is named' })
    .optional()
    .meta({
      description: 'Claims that have this value, by the names `tokens.<name>.claims` gives them; of a list, any one.',
      examples: [{ department: ['eng', 'ops'] }],
    }),
  ip: oneOrMore(Network)
    .optional()
    .meta({ description: 'Networks the client’s address is in; of a list, any one.', examples: ['10.0.0.0/8'] }),
  with: oneOrMore(z.enum(CREDENTIALS))
    .optional()
    .meta({
      description: 'Credentials that are accepted. Default: session and token; API keys only where they are named.',
      examples: [['session']],
    }),
  mfa: z
    .literal(true)
    .optional()
    .meta({ description: 'The caller showed a second factor; else a step-up challenge (RFC 9470).', examples: [true] }),
  fresh: duration(1000, 365 * 86_400_000)
    .optional()
    .meta({ description: 'The caller signed in so recently; else a step-up challenge (RFC 9470).', examples: ['15m'] }),
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
} as const

type Facts = z.output<z.ZodObject<typeof FACTS>>
/** One object form; `any` and `not` hold others. */
export interface RequirementConfig extends Facts {
  readonly any?: readonly RequirementConfig[] | undefined
  readonly not?: RequirementConfig | undefined
}

const METHOD_KEY = /^(?:read|write|(?!(?:CONNECT|TRACE|TRACK)$)[A-Z][A-Z-]{0,31})$/

function isMethodKey(key: string): boolean {
  return METHOD_KEY.test(key)
}

const Requirement: z.ZodType<RequirementConfig> = z
  .strictObject({
    ...FACTS,
    get any() {
      return z
        .array(Requirement)
        .min(1)
        .max(16)
        .optional()
        .meta({
          description: 'At least one of these requirements.',
          examples: [[{ role: 'admin' }, { ip: '10.0.0.0/8' }]],
        })
    },
    get not() {
      return Requirement.optional().meta({
        description: 'None of this: needs a caller, and refuses where a fact is missing.',
        examples: [{ role: 'trainee' }],
      })
    },
  })
  .check(({ value, issues }) => {
    if (Object.values(value).some((one) => one !== undefined)) return
    // A map of methods is another form: what is wrong within one is not judged as a requirement's.
    const isOfMethods = issues.some((issue) => issue.code === 'unrecognized_keys' && issue.keys.every(isMethodKey))
    issues.push({
      code: 'custom',
      input: value,
      message:
        'the requirement asks for nothing: write `login`, or name a role, scope, group, email, claim, ip, with, mfa, fresh, when, any or not',
      continue: !isOfMethods,
    })
  })
  .meta({
    id: 'Requirement',
    description: 'Requirements: keys are ANDed, the values of a list are ORed.',
    examples: [{ role: 'editor' }],
  })

const Single = z.union([Word, Requirement])

const MethodKey = z.string().regex(METHOD_KEY, {
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
