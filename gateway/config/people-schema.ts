/** The shape of `people` and `tests`: who a policy is tried with, and what is expected. Nobody signs in as one of them. */

import { z } from 'zod'
import { Role } from './access-schema.ts'
import { duration } from './units.ts'

const Name = z.string().regex(/^(?!nobody$)[a-z][a-z0-9_-]{0,31}$/, {
  error: 'expected a name of small letters, digits, `-` and `_`; `nobody` is there already',
})
const Id = z.string().regex(/^[!-~]{1,255}$/, { error: 'expected an id without blanks' })
const Texts = z.array(z.string().min(1).max(128)).max(256)
const Value = z.union([z.string(), z.number(), z.boolean()])

/** `2m ago`, in milliseconds. */
const Ago = z
  .string()
  .regex(/^\S+ ago$/, { error: 'expected how long ago, such as `2m ago`', abort: true })
  .transform((text) => text.slice(0, -4))
  .pipe(duration(0, 3650 * 86_400_000))

const FACTS = {
  roles: z
    .array(Role)
    .default([])
    .meta({ description: 'Roles this person has.', examples: [['reader']] }),
  scopes: Texts.default([]).meta({ description: 'Scopes of the credential.', examples: [['books:write']] }),
  groups: Texts.default([]).meta({ description: 'Groups this person is in.', examples: [['staff']] }),
}

const Person = z.strictObject({
  id: Id.optional().meta({
    description: 'Id of a user. Absent, and without `key` and `token`: the name.',
    examples: ['u_1'],
  }),
  email: z
    .string()
    .max(320)
    .optional()
    .meta({ description: 'E-mail address.', examples: ['alice@example.com'] }),
  emailVerified: z
    .boolean()
    .default(true)
    .meta({ description: 'Whether it was proved.', examples: [true] }),
  name: z
    .string()
    .max(128)
    .optional()
    .meta({ description: 'Display name.', examples: ['Alice'] }),
  ...FACTS,
  claims: z
    .record(z.string(), z.union([Value, z.array(Value)]))
    .default({})
    .meta({
      description: 'Claims of the token, by the names the issuer’s entry gives them.',
      examples: [{ department: 'eng' }],
    }),
  mfa: z
    .boolean()
    .default(false)
    .meta({ description: 'Showed a second factor.', examples: [true] }),
  signedIn: Ago.optional().meta({
    description: 'When this person signed in. Absent: just now; of another issuer’s token: it does not say.',
    examples: ['2m ago'],
  }),
  with: z
    .enum(['session', 'token'])
    .default('session')
    .meta({ description: 'How a user comes: by cookie, or by one of our own tokens.', examples: ['token'] }),
  impersonated: z
    .boolean()
    .default(false)
    .meta({ description: 'Somebody else acts in this person’s name.', examples: [true] }),
  key: Id.optional().meta({ description: 'Comes with an API key of this id.', examples: ['robot-1'] }),
  owner: Id.optional().meta({
    description: 'Of a key: the user it acts for, by id or by a name of `people`.',
    examples: ['u_1'],
  }),
  token: z
    .string()
    .optional()
    .meta({ description: 'Comes with a token of this issuer of `tokens`.', examples: ['ci'] }),
  sub: Id.optional().meta({ description: 'Of a token: its `sub`.', examples: ['job-7'] }),
})

export const People = z
  .record(Name, Person)
  .default({})
  .meta({
    description: 'Persons and programs for `tests` and `postern explain --as`. They cannot sign in.',
    examples: [{ alice: { id: 'u_1', email: 'alice@example.com', roles: ['reader'] } }],
  })

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'WEBSOCKET'] as const
const Url = z
  .string()
  .regex(/^(?:https?:\/\/[^\s/]+)?\/\S*$/, { error: 'expected a path, such as `/api/books?page=2`, or a whole URL' })

const countOfMethods = (test: object): number =>
  [...METHODS, 'method'].filter((method) => (test as Record<string, unknown>)[method] !== undefined).length

const AT_WORDS = 'expected a moment in UTC, such as `2026-01-31T09:00:00Z`'

const Test = z
  .strictObject({
    ...(Object.fromEntries(
      METHODS.map((method) => [
        method,
        Url.optional().meta({
          description:
            method === 'WEBSOCKET' ? 'A WebSocket upgrade of this path.' : `${method} of this path, or of a whole URL.`,
          examples: ['/api/books'],
        }),
      ]),
    ) as Record<(typeof METHODS)[number], z.ZodOptional<typeof Url>>),
    method: z
      .string()
      .regex(/^[A-Z][A-Z0-9_-]{0,31}$/)
      .optional()
      .meta({ description: 'Any other method; then `url` says where.', examples: ['PROPFIND'] }),
    url: Url.optional().meta({ description: 'Where, beside `method`.', examples: ['/dav/a'] }),
    as: z
      .string()
      .default('nobody')
      .meta({ description: 'One of `people`, or `nobody`.', examples: ['alice'] }),
    from: z
      .string()
      .optional()
      .meta({ description: 'Client address. Absent: 192.0.2.1.', examples: ['10.1.2.3'] }),
    at: z
      .string()
      .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, { error: AT_WORDS, abort: true })
      .refine((text) => !Number.isNaN(Date.parse(text)), { error: AT_WORDS })
      .optional()
      .meta({ description: 'When. Absent: now.', examples: ['2026-01-31T09:00:00Z'] }),
    headers: z
      .record(z.string(), z.string())
      .default({})
      .meta({ description: 'Request headers.', examples: [{ Accept: 'text/html' }] }),
    expect: z
      .union([
        z.literal('allow'),
        z.int().min(200).max(599),
        z.string().regex(/^[a-z]+(?:-[a-z]+)+$/, {
          error: 'expected `allow`, a status such as 403, or a problem code such as `login-required`',
        }),
      ])
      .meta({
        description: '`allow`, the status of the refusal, or its problem code.',
        examples: ['allow', 403, 'login-required'],
      }),
    upstream: z
      .record(z.string(), z.union([z.string(), z.null()]))
      .optional()
      .meta({
        description: 'Headers the upstream must see; null for one it must not.',
        examples: [{ 'X-Forwarded-User': 'u_2' }],
      }),
    path: z
      .string()
      .optional()
      .meta({ description: 'Path and query the upstream must see.', examples: ['/v2/books'] }),
    why: z
      .string()
      .max(200)
      .optional()
      .meta({ description: 'What this shows, for whoever sees it fail.', examples: ['readers do not write'] }),
  })
  .refine((test) => countOfMethods(test) === 1, {
    error: ({ input }) =>
      countOfMethods(input as object) > 1
        ? 'a test makes one request: make one test of each'
        : 'a test names its method with the path, such as `GET: /api/books`',
  })
  .refine((test) => (test.method === undefined) === (test.url === undefined), {
    error: '`method` and `url` go together',
  })

export const Tests = z
  .array(Test)
  .max(10_000)
  .default([])
  .meta({
    description: 'What must hold of this policy. `postern test` runs them, and a reload that breaks one is refused.',
    examples: [[{ GET: '/api/books', as: 'nobody', expect: 'allow' }]],
  })

export type PersonConfig = z.output<typeof Person>
export type TestConfig = z.output<typeof Test>
