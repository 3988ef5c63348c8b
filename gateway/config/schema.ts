/**
 * The shape of config/gateway.yaml. This file is the source; config/gateway.schema.json is generated from it.
 * Objects are strict: a misspelt key is an error, never a default. No default weakens security; what does says so in its name.
 */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

import { z } from 'zod'
import { bareHost } from '../http/authority.ts'
import { AccessConfig } from './access-schema.ts'
import { Keys, Tokens } from './credentials-schema.ts'
import { INCLUDE_GLOB, INCLUDE_WORDS } from './include.ts'
import { People, Tests } from './people-schema.ts'
import { Body, Limits, RouteConfig, Timeout } from './route-schema.ts'
import { Tls } from './tls-schema.ts'
import { duration, rate } from './units.ts'
import { UpstreamConfig } from './upstream-schema.ts'

const DAY_MS = 86_400_000

const Origin = z
  .string()
  .regex(/^https?:\/\/[^\s/?#@\\]+\/?$/i, {
    error: 'expected the public URL without path or query, such as `https://books.example.com`',
  })
  .transform((text, context) => {
    const url = URL.parse(text)
    if (url !== null && url.hostname !== '') return url.origin
    context.addIssue({
      code: 'custom',
      message: 'expected the public URL without path or query, such as `https://books.example.com`',
    })
    return z.NEVER
  })

const Listen = z
  .string({ error: 'expected an address and a port, such as `127.0.0.1:8080`' })
  .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/, {
    error: 'expected an address and a port, such as `127.0.0.1:8080` or `[::1]:8080`',
    abort: true,
  })
  .transform((text) => {
    const colon = text.lastIndexOf(':')
    return { host: bareHost(text.slice(0, colon)), port: Number(text.slice(colon + 1)) }
  })
  .refine(({ port }) => port <= 65_535, { error: 'expected a port of at most 65535' })

const Secret = z
  .string()
  .min(32, { error: 'expected at least 32 characters of randomness: `openssl rand -base64 48` makes one' })

const Store = z
  .strictObject({
    database: z
      .string()
      .regex(/^postgres(?:ql)?:\/\/\S+$/, {
        error: 'expected a Postgres URL, such as `postgres://postern@db.internal/postern`',
      })
      .optional()
      .meta({
        description: 'Users and sessions. Absent: an embedded SQLite under ./data.',
        examples: ['${env:DATABASE_URL?}'],
      }),
    redis: z
      .string()
      .regex(/^rediss?:\/\/\S+$/, { error: 'expected a Redis URL, such as `rediss://redis.internal:6379`' })
      .optional()
      .meta({ description: 'Shared counters. Absent: one node, in memory.', examples: ['${env:REDIS_URL?}'] }),
    secret: Secret.optional().meta({
      description: 'The secret all keys are derived from: 32 random bytes or more. Only as a reference.',
      examples: ['${env:POSTERN_SECRET?}', '${file:/run/secrets/postern}'],
    }),
    secrets: z
      .array(Secret)
      .min(1)
      .max(8)
      .optional()
      .meta({
        description: 'Several secrets, newest first: the first signs, all verify. In place of `secret`.',
        examples: [['${env:POSTERN_SECRET}', '${env:POSTERN_SECRET_OLD}']],
      }),
  })
  .refine(({ secret, secrets }) => secret === undefined || secrets === undefined, {
    error: 'write `secret` or `secrets`, not both',
  })
  .transform(({ database, redis, secret, secrets }) => ({
    ...(database === undefined ? {} : { database }),
    ...(redis === undefined ? {} : { redis }),
    secrets: secrets ?? (secret === undefined ? [] : [secret]),
  }))

function places(max: number) {
  return z.int().min(1).max(max)
}

const Login = z.strictObject({
  methods: z
    .array(z.enum(['password']))
    .min(1)
    .default(['password'])
    .meta({ description: 'Ways to sign in.', examples: [['password']] }),
  signup: z
    .enum(['open', 'invite', 'closed'])
    .default('invite')
    .meta({
      description: 'Who may make an account: everybody, those an admin makes one for, or nobody.',
      examples: ['invite'],
    }),
  session: z
    .strictObject({
      idle: duration(60_000, 365 * DAY_MS)
        .prefault('8h')
        .meta({ description: 'A session unused for so long ends.', examples: ['8h'] }),
      max: duration(60_000, 365 * DAY_MS)
        .prefault('30d')
        .meta({ description: 'A session ends after so long, used or not.', examples: ['30d'] }),
    })
    .refine(({ idle, max }) => idle <= max, { error: '`idle` must not be longer than `max`' })
    .transform(({ idle, max }) => ({ idleMs: idle, maxMs: max }))
    .prefault({})
    .meta({ description: 'How long a session lives.', examples: [{ idle: '8h', max: '30d' }] }),
  allowUnverifiedEmail: z
    .boolean()
    .default(false)
    .meta({
      description: 'Sends and matches e-mail addresses nobody has proved to own. For demos.',
      examples: [false],
    }),
  rateLimits: z
    .strictObject({
      signIn: rate()
        .prefault('10/min')
        .meta({ description: 'Attempts to sign in per client address.', examples: ['10/min'] }),
      signUp: rate()
        .prefault('5/min')
        .meta({ description: 'Attempts to make an account per client address.', examples: ['5/min'] }),
    })
    .prefault({})
    .meta({ description: 'Limits on guessing.', examples: [{ signIn: '10/min', signUp: '5/min' }] }),
})

export const GatewayConfig = z.strictObject({
  version: z.literal(1).meta({ description: 'Version of this language.', examples: [1] }),
  include: z
    .array(z.string().regex(INCLUDE_GLOB, { error: INCLUDE_WORDS }))
    .max(64)
    .default([])
    .meta({
      description:
        'More files of this policy, by globs relative to this one. They may hold `tokens`, `upstreams`, `routes`, `people` and `tests`; no name stands twice.',
      examples: [['routes/*.yaml']],
    }),
  origin: Origin.meta({
    description: 'The one public URL: cookies, redirects, CSRF, WebSocket Origin and the issuer of what we sign.',
    examples: ['https://books.example.com'],
  }),
  listen: Listen.prefault('127.0.0.1:8080').meta({
    description: 'Address and port to listen on.',
    examples: ['127.0.0.1:8080'],
  }),
  tls: Tls.optional().meta({
    description: 'The gateway itself speaks TLS, with these files. Absent: a proxy in front does, or nobody.',
    examples: [{ certificate: '/etc/postern/tls.pem', key: '/etc/postern/tls.key' }],
  }),
  trust: z
    .array(
      z
        .string()
        .regex(/^[0-9a-fA-F:.]+(?:\/\d{1,3})?$/, { error: 'expected an address or a CIDR, such as `10.0.0.0/8`' }),
    )
    .max(256)
    .default([])
    .meta({
      description: 'Proxies in front of the gateway. Empty: no X-Forwarded-* is believed.',
      examples: [['10.0.0.0/8']],
    }),
  store: Store.prefault({}).meta({
    description: 'Where state lives.',
    examples: [{ database: '${env:DATABASE_URL?}' }],
  }),
  login: Login.prefault({}).meta({ description: 'How people sign in.', examples: [{ signup: 'invite' }] }),
  tokens: Tokens,
  keys: Keys.optional().meta({
    description:
      'API keys of machine clients. Absent: none are accepted. Routes take them only where `with` names `key`.',
    examples: [{ header: 'X-API-Key', prefix: 'bk_' }],
  }),
  revocation: z
    .strictObject({
      maxStaleness: duration(1000, 60_000)
        .prefault('5s')
        .meta({
          description: 'No revoked credential is accepted for longer than this by a node that lost touch with the log.',
          examples: ['5s'],
        }),
    })
    .prefault({})
    .meta({ description: 'How soon a revocation is honoured at the latest.', examples: [{ maxStaleness: '5s' }] }),
  admin: z
    .strictObject({
      listen: Listen.meta({
        description: 'Address and port of the admin API; loopback or a private network.',
        examples: ['127.0.0.1:8081'],
      }),
    })
    .optional()
    .meta({
      description: 'The admin API, on a listener of its own. Absent: none.',
      examples: [{ listen: '127.0.0.1:8081' }],
    }),
  upstreams: z
    .record(
      z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, { error: 'expected a name of small letters, digits and `-`' }),
      UpstreamConfig,
    )
    .meta({ description: 'Backends by name: a URL, or a map.', examples: [{ books: 'http://127.0.0.1:9000' }] }),
  defaults: z
    .strictObject({
      access: AccessConfig.default('deny').meta({
        description: 'Access of routes that name none; `deny` unless written.',
        examples: ['deny'],
      }),
      limit: Limits.default([]).meta({
        description: 'Limits of every route, counted over all of them together; `none` on a route removes them there.',
        examples: ['300/min per ip'],
      }),
      body: Body.prefault('1MiB').meta({ description: 'Longest request body.', examples: ['1MiB'] }),
      timeout: Timeout.prefault('30s').meta({ description: 'Longest silence of an upstream.', examples: ['30s'] }),
    })
    .prefault({})
    .meta({ description: 'What routes have unless they say otherwise.', examples: [{ body: '1MiB', timeout: '30s' }] }),
  admission: z
    .strictObject({
      perAddress: z
        .union([z.literal('off'), rate()])
        .prefault('1000/s')
        .meta({
          description:
            'Requests per client address, counted by each node for itself and before any cryptography; or `off`.',
          examples: ['1000/s'],
        }),
      connections: places(1_000_000)
        .default(10_000)
        .meta({
          description: 'Connections of clients that a node has open at once; more are closed as they come.',
          examples: [10_000],
        }),
      connectionsPerAddress: z
        .union([z.literal('off'), places(1_000_000)])
        .default(1024)
        .meta({
          description: 'Connections of one address; or `off`. Proxies under `trust` may open as many as they like.',
          examples: [1024],
        }),
      inFlight: places(1_000_000)
        .default(4096)
        .meta({
          description: 'Requests that a node works on at once, open streams and sockets among them; more are 503.',
          examples: [4096],
        }),
      inFlightPerAddress: z
        .union([z.literal('off'), places(1_000_000)])
        .default(1024)
        .meta({ description: 'Requests of one client address at once; or `off`.', examples: [1024] }),
      headTimeout: duration(1000, 600_000)
        .prefault('15s')
        .meta({ description: 'How long a client may take to send the head of a request.', examples: ['15s'] }),
      bodyIdle: duration(1000, 3_600_000)
        .prefault('30s')
        .meta({
          description: 'In each such time a client that is waited for sends 1 KiB of its body, or the end of it.',
          examples: ['30s'],
        }),
    })
    .prefault({})
    .meta({
      description: 'Limits on every request and connection.',
      examples: [{ perAddress: '1000/s', connections: 10_000 }],
    }),
  shutdown: z
    .strictObject({
      delay: duration(0, 600_000)
        .prefault('0s')
        .meta({
          description:
            'How long a node that was told to end goes on as before but for its readiness, so that balancers notice.',
          examples: ['5s'],
        }),
      grace: duration(0, 3_600_000)
        .prefault('10s')
        .meta({ description: 'How long requests under way may then take; what is left is cut.', examples: ['10s'] }),
    })
    .prefault({})
    .meta({ description: 'How a node ends.', examples: [{ delay: '5s', grace: '30s' }] }),
  workers: z
    .union([z.literal('auto'), z.int().min(1).max(64)], {
      error: 'expected a number of processes from 1 to 64, or `auto`',
    })
    .default(1)
    .meta({
      description:
        'Processes that serve on one address, watched by another that starts them again; `auto`: one for each processor.',
      examples: ['auto'],
    }),
  limits: z
    .strictObject({
      onOutage: z
        .enum(['share', 'refuse'])
        .default('share')
        .meta({
          description:
            'While the shared counters cannot be reached: each node counts its share in memory, or what is limited is refused with 503.',
          examples: ['share'],
        }),
      approximate: z
        .boolean()
        .default(false)
        .meta({
          description: 'Lets a runtime that cannot count exactly (Workers: each isolate by itself) serve these limits.',
          examples: [false],
        }),
    })
    .prefault({})
    .meta({ description: 'How limits are counted.', examples: [{ onOutage: 'share' }] }),
  people: People,
  tests: Tests,
  routes: z.record(z.string(), RouteConfig).meta({
    description:
      'Patterns: literal segments, `:name`, `*`, trailing `/**`, with an optional host in front. The most specific wins; a path nobody names does not exist.',
    examples: [{ '/**': { to: 'books', access: 'login' } }],
  }),
})

/** A parsed policy file: plain JSON, references resolved, quantities in the units of `units.ts`. */
export type GatewayConfig = z.output<typeof GatewayConfig>
