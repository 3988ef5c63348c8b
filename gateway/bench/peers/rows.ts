/** The rows of the table: which server each asks, and with what. */

import type { Algorithm } from './credentials.ts'

export const SERVERS = [
  ...(['upstream', 'verdict', 'nginx', 'haproxy', 'caddy', 'express', 'fastify', 'fastify-cached'] as const),
  ...(['postern', 'postern-routes', 'postern-2', 'postern-beside'] as const),
]
export type ServerName = (typeof SERVERS)[number]

export const PORTS = [
  ...(['upstream', 'upstreamVerdict', 'streams', 'verdict', 'nginx', 'nginxAuth', 'nginxAuthNode'] as const),
  ...(['haproxyES256', 'haproxyRS256', 'caddy', 'express', 'fastify', 'fastifyCached'] as const),
  ...([
    'postern',
    'posternAdmin',
    'posternRoutes',
    'posternRoutesAdmin',
    'postern2',
    'postern2Admin',
    'beside',
    'besideAdmin',
    'inspector',
  ] as const),
]
export type PortName = (typeof PORTS)[number]

export interface Row {
  readonly name: string
  readonly server: ServerName
  readonly port: PortName
  readonly credential: Algorithm | 'session'
  /** What else works for its answers, and is counted. */
  readonly also: readonly ServerName[]
}

/** What the others are compared with in each round. */
export const BASE = 'nginx, plain proxy'
export const MANY_ROUTES = 10_000

export const ROWS: readonly Row[] = [
  row('direct, no proxy', 'upstream', 'upstream'),
  row(BASE, 'nginx', 'nginx'),
  row('nginx, auth_request to nginx `return 200`', 'nginx', 'nginxAuth'),
  row('nginx, auth_request to Node, verdict cached', 'nginx', 'nginxAuthNode', 'ES256', ['verdict']),
  row('HAProxy, jwt_verify RS256 and claims', 'haproxy', 'haproxyRS256', 'RS256'),
  row('HAProxy, jwt_verify ES256 and claims', 'haproxy', 'haproxyES256'),
  row('Caddy, forward_auth to nginx `return 200`', 'caddy', 'caddy'),
  row('express + http-proxy-middleware + jose, ES256', 'express', 'express'),
  row('fastify + http-proxy + jwt, ES256', 'fastify', 'fastify'),
  row('fastify + http-proxy + jwt, ES256 cached', 'fastify-cached', 'fastifyCached'),
  row('Postern, token ES256', 'postern', 'postern'),
  row('Postern, session cookie', 'postern', 'postern', 'session'),
  row(`Postern, token, ${MANY_ROUTES} routes`, 'postern-routes', 'posternRoutes'),
  row('Postern, token, 2 processes', 'postern-2', 'postern2'),
]

/** Another working tree of this project, measured in the same rounds: what a change does. */
export const BESIDE: Row = row('Postern of the other tree, token ES256', 'postern-beside', 'beside')

/** Rows of the table of streams. */
export const STREAM_ROWS: readonly Row[] = [
  row(BASE, 'nginx', 'nginx'),
  row('Caddy, forward_auth', 'caddy', 'caddy'),
  row('Postern, token ES256', 'postern', 'postern'),
]

function row(
  name: string,
  server: ServerName,
  port: PortName,
  credential: Row['credential'] = 'ES256',
  also: readonly ServerName[] = [],
): Row {
  return { name, server, port, credential, also }
}
