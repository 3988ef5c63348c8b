/** The shape of `upstreams`: where a backend listens, and how it is told who calls. */

import { z } from 'zod'
import type { IdentityClaim, IdentityPreset } from '../rules.ts'
import { DIALECTS, IDENTITY_CLAIMS } from '../transform/identity.ts'
import { Timeouts } from './timeouts-schema.ts'
import { UpstreamTls } from './tls-schema.ts'
import { duration } from './units.ts'

const IDENTITY_PRESETS = Object.keys(DIALECTS) as IdentityPreset[]
const DAY_MS = 86_400_000

const UpstreamUrl = z.string().regex(/^(?:[hH][tT][tT][pP][sS]?:\/\/[^\s/?#@\\]+\/?|unix:\/[!-~]+)$/, {
  error: 'expected scheme, host and port alone, such as `http://127.0.0.1:9000`, or a socket: `unix:/run/books.sock`',
})

const Weighted = z.strictObject({
  url: UpstreamUrl.meta({ description: 'Scheme, host and port.', examples: ['http://10.0.0.7:8000'] }),
  weight: z
    .int()
    .min(1, { error: 'expected a weight of at least 1; remove the server to send it nothing' })
    .max(1000)
    .default(1)
    .meta({ description: 'Its share of the requests, in proportion to the others.', examples: [3] }),
})

interface Server {
  readonly url: string
  readonly weight: number
}

const Server = z.union([UpstreamUrl.transform((url): Server => ({ url, weight: 1 })), Weighted])

const Servers = z.union([
  UpstreamUrl.transform((url): Server[] => [{ url, weight: 1 }]),
  z.array(Server).min(1).max(64),
])

const Claim = z.union([
  z.enum(IDENTITY_CLAIMS),
  z
    .string()
    .regex(/^claims\.[A-Za-z][A-Za-z0-9_-]{0,63}$/, {
      error: 'expected a claim, such as `id`, `roles` or `claims.department`',
    })
    .transform((text) => text as IdentityClaim),
])

interface Field {
  readonly claim: IdentityClaim
  /** Null for the usual one. */
  readonly separator: string | null
}

const Field = z.union([
  Claim.transform((claim): Field => ({ claim, separator: null })),
  z.strictObject({
    claim: Claim.meta({ description: 'What the header carries.', examples: ['roles'] }),
    separator: z
      .enum([',', ';', '|', ' '])
      .nullable()
      .default(null)
      .meta({
        description: 'Between the values of a list. Default: a comma, a blank between scopes.',
        examples: ['|'],
      }),
  }),
])

const Identity = z.union([
  z.enum(IDENTITY_PRESETS),
  z.record(
    z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, { error: 'expected a header name of letters, digits and `-`' }),
    Field,
  ),
])

const HealthPath = z.string().regex(/^\/[!-~]*$/, { error: 'expected a path, such as `/api/health`' })

const HealthOptions = z.strictObject({
  path: HealthPath.meta({
    description: 'A path that answers 2xx on a server that is well.',
    examples: ['/api/health'],
  }),
  interval: duration(100, DAY_MS)
    .prefault('5s')
    .meta({ description: 'How often each server is asked.', examples: ['10s'] }),
  timeout: duration(1, DAY_MS)
    .prefault('2s')
    .meta({ description: 'How long it may take to answer.', examples: ['1s'] }),
  healthyAfter: z
    .int()
    .min(1)
    .max(100)
    .default(2)
    .meta({ description: 'So many good answers in a row bring a server back.', examples: [2] }),
  unhealthyAfter: z
    .int()
    .min(1)
    .max(100)
    .default(3)
    .meta({ description: 'So many bad ones in a row take it out.', examples: [3] }),
})

const Health = z.union([HealthPath.transform((path) => HealthOptions.parse({ path })), HealthOptions])

const Ejection = z.union([
  z.literal('off').transform(() => null),
  z.strictObject({
    failures: z
      .int()
      .min(1)
      .max(1000)
      .default(5)
      .meta({ description: 'Failures in a row after which a server is left alone.', examples: [3] }),
    for: duration(1, DAY_MS)
      .prefault('10s')
      .meta({ description: 'For how long; twice as long each time it fails again at once.', examples: ['30s'] }),
  }),
])

/** Zero for `off`. */
const Retries = z.union([
  z.literal('off').transform(() => 0),
  z
    .string()
    .regex(/^(?:[1-9]\d?|100)%$/, { error: 'expected `off`, or a share of the requests from `1%` to `100%`' })
    .transform((text) => Number(text.slice(0, -1))),
])

const UpstreamOptions = z.strictObject({
  url: Servers.meta({
    description: 'Scheme, host and port of the upstream; of a list, each takes its share.',
    examples: ['http://127.0.0.1:9000', ['http://10.0.0.6:8000', { url: 'http://10.0.0.7:8000', weight: 3 }]],
  }),
  identity: Identity.prefault('forwarded').meta({
    description: 'How the upstream is told who calls: a preset, `none`, or a map of header to claim.',
    examples: ['forwarded', { 'X-User-Id': 'id', 'X-User-Roles': { claim: 'roles', separator: '|' } }],
  }),
  assertion: z
    .boolean()
    .default(true)
    .meta({
      description: 'Sign who calls in X-Postern-Assertion, so that the upstream can have proof.',
      examples: [true],
    }),
  paths: z
    .enum(['lenient', 'exact'])
    .default('lenient')
    .meta({
      description: '`exact`: the upstream reads paths literally, so ambiguous spellings are let through.',
      examples: ['exact'],
    }),
  host: z
    .enum(['public', 'upstream'])
    .default('public')
    .meta({
      description: 'The Host the upstream sees: the public one, or its own.',
      examples: ['public'],
    }),
  health: Health.optional().meta({
    description:
      'A path that answers 2xx when a server is well: each is asked all the time, and one that is not gets nothing.',
    examples: ['/api/health', { path: '/api/health', interval: '2s' }],
  }),
  ejection: Ejection.prefault({}).meta({
    description: 'Of several servers, one that fails again and again is left alone for a while; `off` for never.',
    examples: [{ failures: 3, for: '30s' }, 'off'],
  }),
  retries: Retries.prefault('20%').meta({
    description:
      'Tries beyond the first, at most this share of the requests: of what was not sent, or may safely be sent twice.',
    examples: ['10%', 'off'],
  }),
  connections: z
    .int()
    .min(1)
    .max(65_535)
    .default(1024)
    .meta({ description: 'Requests under way at one server, at most; event streams count.', examples: [256] }),
  queue: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(1024)
    .meta({ description: 'Requests that wait for a server, at most; all others get 503 at once.', examples: [100] }),
  timeout: duration(1, DAY_MS)
    .optional()
    .meta({ description: 'Longest silence of this upstream. Absent: `defaults.timeout`.', examples: ['30s'] }),
  timeouts: Timeouts.optional().meta({
    description: 'How long each part of an exchange may take.',
    examples: [{ connect: '2s', firstByte: '10s' }],
  }),
  tls: UpstreamTls.optional().meta({
    description: 'What an https:// upstream is asked and shown. Absent: the issuers of the system, and no certificate.',
    examples: [{ ca: '/etc/postern/upstream-ca.pem' }],
  }),
  http2: z
    .boolean()
    .default(false)
    .meta({
      description:
        'Speak HTTP/2 to it: over https:// if it agrees to that, over http:// and sockets without asking. WebSockets go by HTTP/1.1.',
      examples: [true],
    }),
  allowPlainHttpUpstream: z
    .boolean()
    .default(false)
    .meta({
      description:
        'Allows http:// to an upstream outside loopback and private networks: identity travels in the clear.',
      examples: [false],
    }),
})

export const UpstreamConfig = z.union([UpstreamUrl.transform((url) => UpstreamOptions.parse({ url })), UpstreamOptions])

export type UpstreamConfig = z.output<typeof UpstreamOptions>
