/** The shape of `upstreams`: where a backend listens, and how it is told who calls. */

import { z } from 'zod'
import type { IdentityClaim, IdentityPreset } from '../rules.ts'
import { DIALECTS, IDENTITY_CLAIMS } from '../transform/identity.ts'
import { duration } from './units.ts'

const IDENTITY_PRESETS = Object.keys(DIALECTS) as IdentityPreset[]
const DAY_MS = 86_400_000

const UpstreamUrl = z.string().regex(/^https?:\/\/[^\s/?#@\\]+\/?$/i, {
  error: 'expected scheme, host and port alone, such as `http://127.0.0.1:9000`',
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
  health: z
    .string()
    .regex(/^\/[!-~]*$/, { error: 'expected a path, such as `/api/health`' })
    .optional()
    .meta({
      description: 'A path that answers 2xx when the upstream is well: `postern doctor` asks it.',
      examples: ['/api/health'],
    }),
  timeout: duration(1, DAY_MS)
    .optional()
    .meta({ description: 'Longest silence of this upstream. Absent: `defaults.timeout`.', examples: ['30s'] }),
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
