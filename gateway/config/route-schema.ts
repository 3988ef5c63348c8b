/** The shape of a route, and of what `defaults` says for all of them. */

import { z } from 'zod'
import { AccessConfig } from './access-schema.ts'
import { Timeouts } from './timeouts-schema.ts'
import { byteSize, duration, limit } from './units.ts'

const DAY_MS = 86_400_000

export const Body = byteSize(64 * 1024 ** 3)
export const Timeout = duration(1, DAY_MS)

/** One limit or a list. `none` is for routes. */
export const Limits = z.union([limit().transform((one) => [one]), z.array(limit()).min(1).max(8)])

/** What a strip rule removes and a route may let through again. Never an identity header, never framing. */
const REQUEST_HEADERS = ['Authorization', 'X-API-Key'] as const
const RESPONSE_HEADERS = [
  'Alt-Svc',
  'Clear-Site-Data',
  'NEL',
  'Report-To',
  'Reporting-Endpoints',
  'Service-Worker-Allowed',
] as const

const Method = z.string().regex(/^(?!(?:CONNECT|TRACE|TRACK)$)[A-Z][A-Z-]{0,31}$/, {
  error: 'expected a method in upper case',
})
const HeaderName = z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, {
  error: 'expected a header name of letters, digits and `-`',
})
/** RFC 9110 §5.5, in ASCII and without outer blanks. */
const HeaderValue = z.string().regex(/^(?:[!-~](?:[ -~]{0,1022}[!-~])?)?$/, {
  error: 'expected printable ASCII without blanks at its ends',
})

const Edits = z
  .strictObject({
    remove: z
      .array(HeaderName)
      .max(32)
      .default([])
      .meta({ description: 'Headers that are taken out.', examples: [['X-Powered-By']] }),
    set: z
      .record(HeaderName, HeaderValue)
      .default({})
      .meta({ description: 'Headers that have this value, whatever they had.', examples: [{ 'X-Site': 'books' }] }),
    add: z
      .record(HeaderName, HeaderValue)
      .default({})
      .meta({
        description: 'Headers that are added beside what is there.',
        examples: [{ Link: '</help>; rel="help"' }],
      }),
  })
  .refine(({ remove, set, add }) => remove.length + Object.keys(set).length + Object.keys(add).length > 0, {
    error: 'no change is named: write `remove`, `set` or `add`',
  })

const CorsOrigin = z.union([
  z.literal('*'),
  z.string().regex(/^https?:\/\/(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?$/, {
    error: 'expected an origin as browsers send it, such as `https://app.example.com`: small letters, no path; or `*`',
  }),
])

const Cors = z.strictObject({
  origins: z
    .array(CorsOrigin)
    .min(1)
    .max(64)
    .meta({
      description: 'Pages of these origins may read answers; `*` for all, without credentials.',
      examples: [['https://app.example.com']],
    }),
  methods: z
    .array(Method)
    .max(32)
    .default([])
    .meta({ description: 'Methods a page may use. Absent: those the route lists.', examples: [['GET', 'POST']] }),
  headers: z
    .array(HeaderName)
    .max(64)
    .default([])
    .meta({
      description: 'Request headers a page may send beside the plain ones.',
      examples: [['Authorization', 'Content-Type']],
    }),
  expose: z
    .array(HeaderName)
    .max(64)
    .default([])
    .meta({ description: 'Response headers a page may read.', examples: [['X-Request-Id']] }),
  credentials: z
    .boolean()
    .default(false)
    .meta({ description: 'Pages may send cookies. Never with the origin `*`.', examples: [false] }),
  maxAge: duration(0, DAY_MS)
    .prefault('10m')
    .meta({ description: 'Browsers remember the answer to a preflight this long.', examples: ['10m'] }),
})

/** Begins with one slash, ends without, and holds nothing that a pattern would read as its own. */
const Prefix = z.string().regex(/^(?:\/[^\s/?#*:]+)+$/, {
  error: 'expected a prefix that begins with `/` and does not end with one, such as `/api`',
})

export const RouteConfig = z.strictObject({
  to: z
    .string()
    .optional()
    .meta({ description: 'The upstream, by its name under `upstreams`.', examples: ['books'] }),
  access: AccessConfig.optional().meta({
    description: 'Who may come in. Absent: `defaults.access`.',
    examples: ['login'],
  }),
  proposed: AccessConfig.optional().meta({
    description: 'Decided beside `access` and never enforced: requests on which they differ are logged and counted.',
    examples: [{ role: 'editor' }],
  }),
  limit: z
    .union([z.literal('none').transform(() => null), Limits])
    .optional()
    .meta({
      description: 'Limits of this route, beside those of `defaults`; `none` removes these.',
      examples: ['20/min per user', ['100/h per key', '5 connections per user']],
    }),
  body: Body.optional().meta({ description: 'Longest request body.', examples: ['10MiB'] }),
  timeout: Timeout.optional().meta({
    description:
      'Longest silence of the upstream, its first byte included. Absent: the upstream’s, else that of `defaults`.',
    examples: ['5m'],
  }),
  timeouts: Timeouts.optional().meta({
    description: 'How long each part of an exchange may take; what stands here wins over the upstream’s.',
    examples: [{ firstByte: '2m', total: '10m' }],
  }),
  cors: Cors.optional().meta({
    description: 'Which other origins’ pages may use this route. Absent: none.',
    examples: [{ origins: ['https://app.example.com'] }],
  }),
  headers: z
    .strictObject({
      request: Edits.optional().meta({
        description: 'Changes to what the upstream sees. Never of an identity header.',
        examples: [{ set: { 'X-Site': 'books' } }],
      }),
      response: Edits.optional().meta({
        description: 'Changes to what the client sees.',
        examples: [{ remove: ['X-Powered-By'] }],
      }),
    })
    .optional()
    .meta({ description: 'Headers of both sides.', examples: [{ response: { remove: ['X-Powered-By'] } }] }),
  stripPrefix: Prefix.optional().meta({
    description: 'Taken from the front of the path before it is forwarded; the pattern must begin with it.',
    examples: ['/api'],
  }),
  addPrefix: Prefix.optional().meta({
    description: 'Put in front of the path that is forwarded, after `stripPrefix`.',
    examples: ['/v2'],
  }),
  alias: z
    .literal(true)
    .optional()
    .meta({
      description: 'Allows this route to reach paths of its upstream that another route guards more strictly.',
      examples: [true],
    }),
  encodedSlash: z
    .enum(['keep'])
    .optional()
    .meta({
      description:
        '`%2F` in a path is data of one segment here, as registries and Git hosts need; elsewhere it is 400.',
      examples: ['keep'],
    }),
  serviceWorker: z
    .enum(['allow'])
    .optional()
    .meta({
      description: 'Lets browsers register service workers from this route.',
      examples: ['allow'],
    }),
  sharedCache: z
    .enum(['allow'])
    .optional()
    .meta({
      description: 'Lets answers made for somebody leave with the caching the upstream gave them.',
      examples: ['allow'],
    }),
  allowHeaderNames: z
    .array(
      z.string().regex(/^(?=.*[^A-Za-z0-9-])[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/, {
        error: 'expected a literal header name that holds a character outside letters, digits and `-`',
      }),
    )
    .max(32)
    .default([])
    .meta({
      description: 'Header names with `_` or `.` that are let through; all others are dropped.',
      examples: [['X_Legacy']],
    }),
  allowRequestHeaders: z
    .array(z.enum(REQUEST_HEADERS))
    .default([])
    .meta({
      description: 'Credentials of the client that this route passes on to the upstream.',
      examples: [['Authorization']],
    }),
  allowResponseHeaders: z
    .array(z.enum(RESPONSE_HEADERS))
    .default([])
    .meta({
      description: 'Headers of the upstream that are otherwise removed because they act on the whole origin.',
      examples: [['Clear-Site-Data']],
    }),
})

export type RouteConfig = z.output<typeof RouteConfig>
