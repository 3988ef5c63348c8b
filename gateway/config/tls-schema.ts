/** The shapes of `tls`: what the gateway shows its clients, and what it shows and asks of an upstream. Files, never keys themselves. */

import { z } from 'zod'

/** Relative to the policy file. */
const PemFile = z.string().regex(/^(?!-----BEGIN)[^\0\n]{1,4096}$/, {
  error: 'expected the path of a PEM file, such as `/etc/postern/tls.pem`; the policy holds no key itself',
})

const certificate = PemFile.meta({
  description: 'PEM file of the certificate, followed by those that lead to its issuer.',
  examples: ['/etc/letsencrypt/live/books/fullchain.pem'],
})
const key = PemFile.meta({
  description: 'PEM file of its private key, readable for the gateway alone.',
  examples: ['/etc/letsencrypt/live/books/privkey.pem'],
})

export const Tls = z.strictObject({
  certificate,
  key,
  minVersion: z
    .literal(['1.2', '1.3', 1.2, 1.3])
    .default('1.2')
    .meta({ description: 'Oldest version of TLS that is spoken.', examples: [1.3] }),
  http2: z
    .boolean()
    .default(true)
    .meta({ description: 'Offer HTTP/2 beside HTTP/1.1.', examples: [true] }),
  others: z
    .array(z.strictObject({ certificate, key }))
    .max(32)
    .default([])
    .meta({
      description: 'Certificates of further hosts, chosen by the name that a client asks for.',
      examples: [[{ certificate: 'admin.pem', key: 'admin.key' }]],
    }),
})

export const UpstreamTls = z
  .strictObject({
    ca: PemFile.optional().meta({
      description: 'PEM file of the issuers to believe for this upstream, in place of those of the system.',
      examples: ['/etc/postern/upstream-ca.pem'],
    }),
    certificate: certificate.optional().meta({
      description: 'PEM file of the certificate that the gateway shows this upstream.',
      examples: ['/etc/postern/gateway.pem'],
    }),
    key: key.optional().meta({ description: 'PEM file of its private key.', examples: ['/etc/postern/gateway.key'] }),
    serverName: z
      .string()
      .regex(/^(?=.{1,253}$)(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9.-]*$/, {
        error: 'expected a host name, such as `books.internal`',
      })
      .optional()
      .meta({
        description: 'The name its certificate must have. Absent: the host of `url`.',
        examples: ['books.internal'],
      }),
  })
  .refine((tls) => (tls.certificate === undefined) === (tls.key === undefined), {
    error: '`certificate` and `key` belong together: write both, or neither',
  })
