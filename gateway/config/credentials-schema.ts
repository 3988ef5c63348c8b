/**
 * The shape of `tokens` and `keys`: whose word the gateway takes, and for what. Each default is the strict one: asymmetric
 * algorithms, no roles, subjects kept apart, nothing fetched but over https.
 */

import { z } from 'zod'
import { oneOrMore, Role } from './access-schema.ts'
import { byteSize, duration, rate } from './units.ts'

/** RFC 7518 §3.1 and RFC 8037 §3.1 without what is symmetric or none at all. */
export const ALGORITHMS = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA'] as const),
] as const

/** RFC 8414 §2, and loopback over plain http, where nobody stands between (SECURITY rule 25). */
const SecureUrl = z
  .string()
  .regex(/^https:\/\/[^\s?#@\\]+$|^http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?:\/[^\s?#@\\]*)?$/i, {
    error: 'expected an https URL without query or fragment (plain http on loopback only)',
  })

/** A path of claim names with dots between them, such as `realm_access.roles`; a URL-like claim is one name in brackets. */
const ClaimPath = z
  .string()
  .regex(/^(?:[^\s.[\]]{1,128}|\[[^\s[\]]{1,256}\])(?:\.(?:[^\s.[\]]{1,128}|\[[^\s[\]]{1,256}\])){0,7}$/, {
    error: 'expected the path of a claim, such as `roles`, `realm_access.roles` or `[https://example.com/roles]`',
  })

const Claims = z
  .object({
    roles: ClaimPath.default('roles').meta({ description: 'Where roles stand.', examples: ['realm_access.roles'] }),
    scopes: ClaimPath.default('scope').meta({
      description: 'Where scopes stand: one text with blanks, or a list.',
      examples: ['scp'],
    }),
    groups: ClaimPath.optional().meta({
      description: 'Where groups stand. Absent: none are taken.',
      examples: ['groups'],
    }),
    email: ClaimPath.optional().meta({
      description: 'Where the e-mail address stands; it counts when `email_verified` is true. Absent: none is taken.',
      examples: ['email'],
    }),
    name: ClaimPath.optional().meta({ description: 'Where the display name stands.', examples: ['name'] }),
  })
  // Any other name is a claim of the author's own; credential-checks.ts looks at it.
  .catchall(
    ClaimPath.meta({
      description: 'Where a claim stands that `claim:` and `user.claims` read by this name.',
      examples: ['department'],
    }),
  )

const ClaimValue = z.union([z.string(), z.number(), z.boolean()])

const KeyCache = z.strictObject({
  maxAge: duration(10_000, 86_400_000)
    .prefault('10m')
    .meta({ description: 'The key set is read again this often, off the request path.', examples: ['10m'] }),
  keep: duration(60_000, 30 * 86_400_000)
    .prefault('24h')
    .meta({ description: 'The last good keys serve this long while the issuer is down.', examples: ['24h'] }),
  cooldown: duration(1000, 3_600_000)
    .prefault('30s')
    .meta({ description: 'Tokens with unknown keys make the set be read at most this often.', examples: ['30s'] }),
  timeout: duration(100, 30_000)
    .prefault('3s')
    .meta({ description: 'Longest wait for the issuer.', examples: ['3s'] }),
  bytes: byteSize(4 * 1024 ** 2)
    .prefault('256KiB')
    .meta({ description: 'Longest key set or discovery document.', examples: ['256KiB'] }),
})

const Introspection = z.strictObject({
  url: SecureUrl.optional().meta({
    description: 'RFC 7662 endpoint. Absent: found by discovery.',
    examples: ['https://id.example.com/introspect'],
  }),
  clientId: z
    .string()
    .min(1)
    .meta({ description: 'Our client at the issuer.', examples: ['gateway'] }),
  clientSecret: z
    .string()
    .min(1)
    .meta({
      description: 'Its secret, only as a reference.',
      examples: ['${env:INTROSPECTION_SECRET}'],
    }),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, { error: 'expected letters, digits, `_` and `-`' })
    .optional()
    .meta({
      description: 'Opaque tokens of this issuer begin with it; needed where several issuers have opaque tokens.',
      examples: ['ghp_'],
    }),
  cache: duration(0, 600_000)
    .prefault('30s')
    .meta({ description: 'An answer is remembered this long, and never beyond `exp`.', examples: ['30s'] }),
})

const TokenIssuer = z.strictObject({
  issuer: SecureUrl.meta({
    description: 'Its identifier: exactly what `iss` says, character by character.',
    examples: ['https://ci.example.com'],
  }),
  audience: oneOrMore(z.string().min(1).max(512)).meta({
    description: 'What `aud` must name; of a list, any one.',
    examples: ['books-api'],
  }),
  algorithms: z
    .array(z.enum(ALGORITHMS))
    .min(1)
    .default([...ALGORITHMS])
    .meta({
      description: 'Signature algorithms that are accepted. Default: the asymmetric ones.',
      examples: [['ES256']],
    }),
  jwks: SecureUrl.optional().meta({
    description: 'Address of its key set. Absent, and without `keys`: found by discovery.',
    examples: ['https://ci.example.com/keys.json'],
  }),
  keys: z
    .array(z.record(z.string(), z.unknown()))
    .min(1)
    .max(64)
    .optional()
    .meta({
      description: 'Its public keys (RFC 7517), written here; nothing is fetched then.',
      examples: [[{ kty: 'EC', crv: 'P-256', kid: 'k1', x: '…', y: '…' }]],
    }),
  allowKeyOrigins: z
    .array(SecureUrl)
    .max(8)
    .default([])
    .meta({
      description: 'Other origins that discovery may send us to for keys or introspection.',
      examples: [['https://keys.example.net']],
    }),
  introspection: Introspection.optional().meta({
    description:
      'Asks the issuer about opaque tokens (RFC 7662); with its `url`, and neither `jwks` nor `keys`, about its JWTs too.',
    examples: [{ clientId: 'gateway', clientSecret: '${' + 'env:INTROSPECTION_SECRET}' }],
  }),
  claims: Claims.prefault({}).meta({
    description:
      'Where this issuer keeps what we read. A name beside the five is one of your own, for `claim:`, `user.claims` and identity headers.',
    examples: [{ roles: 'realm_access.roles', department: 'org.department' }],
  }),
  require: z
    .record(ClaimPath, z.union([ClaimValue, z.array(ClaimValue).min(1)]))
    .default({})
    .meta({ description: 'Claims that must have this value; of a list, any one.', examples: [{ azp: 'books-cli' }] }),
  roles: z
    .array(Role)
    .default([])
    .meta({ description: 'The only roles it may confer here.', examples: [['deployer']] }),
  mfa: z
    .strictObject({
      amr: z
        .array(z.string().min(1).max(64))
        .default([])
        .meta({ description: 'One of these in `amr` (RFC 8176).', examples: [['mfa', 'otp']] }),
      acr: z
        .array(z.string().min(1).max(256))
        .default([])
        .meta({ description: 'One of these as `acr`.', examples: [['urn:mace:incommon:iap:silver']] }),
    })
    .prefault({})
    .meta({
      description: 'What of this issuer’s tokens counts as a second factor. Absent: nothing.',
      examples: [{ amr: ['mfa'] }],
    }),
  subjects: z
    .enum(['own', 'local'])
    .default('own')
    .meta({
      description: '`own`: its `sub` is `<name>:<sub>` here. `local`: its `sub` is the id of one of our users.',
      examples: ['own'],
    }),
  leeway: duration(0, 60_000)
    .prefault('5s')
    .meta({ description: 'How far its clock may be from ours.', examples: ['5s'] }),
  keyCache: KeyCache.prefault({}).meta({ description: 'How its keys are kept.', examples: [{ maxAge: '10m' }] }),
})

export const Tokens = z
  .record(
    z.string().regex(/^(?!postern$)[a-z][a-z0-9-]{0,31}$/, {
      error: 'expected a name of small letters, digits and `-`, and not `postern`, which is this gateway',
    }),
    TokenIssuer,
  )
  .default({})
  .meta({
    description: 'Issuers whose tokens are accepted, by the name they have here.',
    examples: [{ ci: { issuer: 'https://ci.example.com', audience: 'books-api' } }],
  })

export const Keys = z.strictObject({
  header: z
    .string()
    .regex(
      /^(?!(?:authorization|cookie|host|connection|content-length|transfer-encoding)$)[A-Za-z][A-Za-z0-9-]{0,63}$/i,
      {
        error: 'expected a header name of its own, such as `X-API-Key`',
      },
    )
    .default('X-API-Key')
    .meta({ description: 'Header that carries the key.', examples: ['X-API-Key'] }),
  prefix: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9]{0,15}_$/, { error: 'expected letters and digits with `_` at the end, such as `bk_`' })
    .default('pk_')
    .meta({ description: 'What every key begins with, so that a leaked one is recognized.', examples: ['bk_'] }),
  limit: rate()
    .prefault('600/min')
    .meta({ description: 'Requests per key, unless the key was made with a limit of its own.', examples: ['600/min'] }),
})

export type TokenIssuerConfig = z.output<typeof TokenIssuer>
