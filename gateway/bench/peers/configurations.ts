/** What nginx, HAProxy and Caddy are told, each as its manual has it: kept-alive connections both ways, nothing logged, one worker. */

import { type Algorithm, AUDIENCE, ISSUER, publicKeyFile } from './credentials.ts'

export interface UpstreamPorts {
  readonly upstream: number
  /** Of the upstream's own verdict on a credential: always yes. */
  readonly verdict: number
  readonly streams: number
}

export interface NginxPorts {
  readonly plain: number
  readonly authRequest: number
  readonly authRequestNode: number
}

export interface HaproxyPorts {
  readonly ES256: number
  readonly RS256: number
}

export interface CaddyPorts {
  readonly forwardAuth: number
}

const ITEMS = JSON.stringify({
  items: Array.from({ length: 10 }, (_, id) => ({
    id,
    name: `item number ${id}`,
    description: `lorem ipsum dolor sit amet consectetur ${id}`,
    price: 19.99,
  })),
})
const FOREVER = 'keepalive_requests 1000000000; keepalive_timeout 600s;'
const IDENTITY = ['User-Id', 'User-Email', 'User-Roles', 'User-Org'] as const

function nginx(folder: string, name: string, http: string): string {
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  return `${user} daemon off; worker_processes 1; pid ${folder}/${name}.pid; error_log ${folder}/${name}.err warn;
events { worker_connections 8192; }
http {
  access_log off; ${FOREVER} tcp_nodelay on; client_body_buffer_size 64k; default_type application/json;
  client_body_temp_path ${folder}/${name}-body; proxy_temp_path ${folder}/${name}-proxy;
${http}
}
`
}

/** The server behind every row: its answers cost next to nothing. */
export function upstreamConfiguration(folder: string, { upstream, verdict }: UpstreamPorts): string {
  return nginx(
    folder,
    'upstream',
    `  sendfile on; tcp_nopush on; open_file_cache max=10;
  add_header Cache-Control "private, max-age=0"; add_header X-Trace $request_id; add_header Vary Accept-Encoding;
  server {
    listen 127.0.0.1:${upstream} backlog=4096;
    location / { return 200 '${ITEMS}'; }
    location = /api/big { alias ${folder}/big; }
  }
  server {
    listen 127.0.0.1:${verdict} backlog=4096;
    location / {
      add_header X-User-Id 0190b3c4-7e2a-7abc-8def-000000000001; add_header X-User-Email user1@bench.test;
      add_header X-User-Roles reader; add_header X-User-Org acme-corp-1;
      return 200;
    }
  }`,
  )
}

export function nginxConfiguration(
  folder: string,
  to: UpstreamPorts,
  ports: NginxPorts,
  nodeVerdict: number | null,
): string {
  const server = (name: string, port: number) =>
    `  upstream ${name} { server 127.0.0.1:${port}; keepalive 128; ${FOREVER} }`
  const forwarded = `proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;`
  const asking = (port: number, verdict: string) => `  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      auth_request /_verdict;
${IDENTITY.map((name) => {
  const variable = name.toLowerCase().replace('-', '_')
  return `      auth_request_set $${variable} $upstream_http_x_${variable}; proxy_set_header X-${name} $${variable};`
}).join('\n')}
      ${forwarded}
      proxy_set_header Authorization ""; proxy_set_header Cookie "";
      proxy_pass http://app;
    }
    location = /_verdict {
      internal; proxy_pass http://${verdict}/verdict; proxy_pass_request_body off;
      proxy_set_header Content-Length ""; proxy_set_header Connection ""; proxy_set_header X-Original-URI $request_uri;
    }
  }`
  return nginx(
    folder,
    'nginx',
    `  proxy_http_version 1.1; proxy_buffers 16 16k; proxy_busy_buffers_size 64k;
${server('app', to.upstream)}
${server('verdict', to.verdict)}
${server('node_verdict', nodeVerdict ?? to.verdict)}
  server {
    listen 127.0.0.1:${ports.plain} backlog=4096;
    location / { ${forwarded} proxy_pass http://app; }
    location = /events { proxy_buffering off; ${forwarded} proxy_pass http://127.0.0.1:${to.streams}; }
    location = /ws {
      proxy_set_header Connection upgrade; proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host;
      proxy_pass http://127.0.0.1:${to.streams}; proxy_read_timeout 600s;
    }
  }
${asking(ports.authRequest, 'verdict')}
${asking(ports.authRequestNode, 'node_verdict')}`,
  )
}

export function haproxyConfiguration(folder: string, to: UpstreamPorts, ports: HaproxyPorts): string {
  const frontend = (algorithm: Algorithm) => {
    const claim = (name: string, as = '') => `var(txn.bearer),jwt_payload_query('$.${name}'${as})`
    const deny = (unless: string) => `  http-request deny deny_status 401 unless { ${unless} }`
    return `frontend ${algorithm}
  bind 127.0.0.1:${ports[algorithm]}
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
${deny(`var(txn.alg) -m str ${algorithm}`)}
${deny(`var(txn.bearer),jwt_verify(txn.alg,"${publicKeyFile(folder, algorithm)}") -m int 1`)}
${deny(`${claim('iss')} -m str ${ISSUER}`)}
${deny(`${claim('aud')} -m str ${AUDIENCE}`)}
  http-request set-var(txn.exp) ${claim('exp', ",'int'")}
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request set-var(txn.roles) ${claim('roles[0]')}
  http-request deny deny_status 403 unless { var(txn.roles) -m str reader }
  http-request set-header X-User-Id %[${claim('sub')}]
  http-request set-header X-User-Email %[${claim('email')}]
  http-request set-header X-User-Roles %[var(txn.roles)]
  http-request set-header X-User-Org %[${claim('org')}]
  http-request set-header X-Forwarded-For %[src]
  http-request del-header Authorization
  http-request del-header Cookie
  default_backend app
`
  }
  return `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 600s
  http-reuse always
backend app
  server one 127.0.0.1:${to.upstream} pool-max-conn 512
${frontend('ES256')}
${frontend('RS256')}`
}

export function caddyConfiguration(to: UpstreamPorts, ports: CaddyPorts): string {
  const transport = `transport http {
      keepalive_idle_conns_per_host 256
      compression off
    }`
  return `{
  auto_https off
  admin off
}
http://:${ports.forwardAuth} {
  bind 127.0.0.1
  forward_auth 127.0.0.1:${to.verdict} {
    uri /verdict
    copy_headers ${IDENTITY.map((name) => `X-${name}`).join(' ')}
    ${transport}
  }
  @streams path /events /ws
  reverse_proxy @streams 127.0.0.1:${to.streams}
  reverse_proxy 127.0.0.1:${to.upstream} {
    header_up -Authorization
    header_up -Cookie
    ${transport}
  }
}
`
}
