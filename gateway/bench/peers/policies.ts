/** The policies that Postern is measured with: nothing is left off that it would have in use. */

import { AUDIENCE, type Credentials, ISSUER } from './credentials.ts'
import { HOST } from './wrk.ts'

export interface PolicyPorts {
  readonly listen: number
  readonly admin: number
  readonly upstream: number
  readonly streams: number
}

/** Routes, limits by address, roles, identity headers, signed assertions; the log goes to a file, and metrics are counted. */
export function benchPolicy(ports: PolicyPorts, { jwks }: Credentials, more = ''): string {
  return `version: 1
origin: http://${HOST}
listen: 127.0.0.1:${ports.listen}
admin: { listen: "127.0.0.1:${ports.admin}" }
keys: {}
# One address is all clients here.
admission: { perAddress: 1000000/s, connectionsPerAddress: 10000, inFlightPerAddress: 10000 }
login: { signup: open, allowUnverifiedEmail: true, rateLimits: { signIn: 1000000/h, signUp: 1000000/h } }
tokens:
  bench:
    issuer: ${ISSUER}
    audience: ${AUDIENCE}
    claims: { roles: roles, org: org }
    roles: [reader, editor]
    keys: ${JSON.stringify(jwks)}
upstreams:
  app: { url: "http://127.0.0.1:${ports.upstream}" }
  streams: { url: "http://127.0.0.1:${ports.streams}" }
routes:
  /**: { to: app, access: login }
  /api/**: { to: app, access: { role: [reader, user] } }
  /api/admin/**: { to: app, access: { role: admin } }
  /health: { to: app, access: public }
  /events: { to: streams, access: login }
  /ws: { to: streams, access: login }
${more}`
}

/** More routes of the same policy, none of which is asked for. */
export function manyRoutes(count: number): string {
  return Array.from({ length: count }, (_, at) => {
    return `  /team-${at % 97}/item-${at}/:id/**: { to: app, access: { role: [reader, user] } }\n`
  }).join('')
}
