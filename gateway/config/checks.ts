/** Rules of the policy that no single field can know: what two settings mean together, and what is allowed but unwise. */

import { parseAddress, parseCidr } from '../http/address.ts'
import { bareHost, socketPathOf } from '../http/authority.ts'
import { isHopByHop, isReserved } from '../http/field-names.ts'
import { mapFault } from '../transform/identity.ts'
import type { PolicyConfig } from './compile.ts'
import type { Path, Trouble } from './issues.ts'
import { isUnspecified, reachOf } from './network.ts'
import type { RouteConfig } from './route-schema.ts'
import { checkSocketPath, checkUpstreamTls } from './tls-checks.ts'
import type { UpstreamConfig } from './upstream-schema.ts'

type Report = (path: Path, trouble: Trouble) => void

export function checkOrigin(config: PolicyConfig, report: Report, warn: Report): void {
  const { protocol, hostname, username } = new URL(config.origin)
  if (username !== '') report(['origin'], { message: 'the origin holds a user', cure: 'write scheme and host alone' })
  if (hostname.includes('*')) {
    report(['origin'], {
      message: 'the origin names a pattern of hosts, and one public URL is served',
      cure: 'write the host people use, such as `https://books.example.com`',
    })
  }
  if (protocol === 'https:' && config.trust.length === 0 && config.tls === undefined) {
    report(['origin'], {
      message: 'an https origin needs to know the proxy that ends TLS, and `trust` is empty',
      cure: 'name the proxy in front: `trust: [10.0.0.0/8]`, or `trust: [127.0.0.1/32]` when it runs on this machine; or write `tls`, and no proxy is needed',
    })
  }
  if (protocol === 'http:' && reachOf(hostname) !== 'loopback') {
    warn(['origin'], {
      message: 'passwords and sessions travel in the clear: the origin is http:// and not this machine',
      cure: 'put TLS in front, or write `tls`, and write an https:// origin',
    })
  }
  if (config.login.allowUnverifiedEmail && reachOf(hostname) !== 'loopback') {
    warn(['login', 'allowUnverifiedEmail'], {
      message: 'anybody may claim any e-mail address, and upstreams are told it',
      cure: 'leave it out: it is for demos on one machine',
    })
  }
}

export function checkTrust(trust: readonly string[], report: Report): void {
  for (const [at, text] of trust.entries()) {
    const cidr = parseCidr(text)
    if (cidr === null) {
      report(['trust', at], {
        message: `\`${text}\` is not an address or a CIDR`,
        cure: 'write it as `10.0.0.0/8` or `2001:db8::/32`',
      })
    } else if (cidr.bits === 0) {
      report(['trust', at], {
        message: `\`${text}\` trusts everybody, so any client could choose its own address`,
        cure: 'name the networks of your proxies',
      })
    }
  }
}

/** The admin API is for this machine or a private network, and for whoever holds an admin's key (SECURITY rule 29). */
export function checkAdmin(config: PolicyConfig, report: Report): void {
  const { admin, keys, listen } = config
  if (admin === undefined) return
  const path = ['admin', 'listen']
  const { host, port } = admin.listen
  if ((parseAddress(host) === null && host !== 'localhost') || reachOf(host) === 'anywhere') {
    report(path, {
      message: `the admin API would listen on \`${host}\`, which is not an address of loopback or a private network`,
      cure: 'write such an address, as in `127.0.0.1:8081`',
    })
  }
  if (port === 0 || port === listen.port) {
    report(path, {
      message: port === 0 ? 'the admin API needs a port that can be named' : 'this is the port of the gateway itself',
      cure: 'choose a port of its own, such as 8081',
    })
  }
  if (keys === undefined) {
    report(['admin'], {
      message: 'nobody could use the admin API: it takes API keys, and `keys` is absent',
      cure: 'add `keys: {}`, then make a key: `postern keys create --owner <admin> --name admin --scope admin`',
      isAboutKey: true,
    })
  }
}

export function checkUpstream(
  id: string,
  upstream: UpstreamConfig,
  config: PolicyConfig,
  report: Report,
  warn: Report,
): void {
  const path = ['upstreams', id]
  for (const [at, server] of upstream.url.entries()) {
    const place = upstream.url.length === 1 ? [...path, 'url'] : [...path, 'url', at]
    checkServer(id, server.url, place, upstream, config, report, warn)
  }
  checkTimeouts(path, upstream, report)
  checkUpstreamTls(id, upstream, report)
  if (typeof upstream.identity === 'string') return
  const seen = new Set<string>()
  for (const [name, claim] of Object.entries(upstream.identity)) {
    const fault = seen.has(name.toLowerCase()) ? 'this header stands twice' : mapFault(name, claim.claim)
    if (fault !== null)
      report([...path, 'identity', name], {
        message: `\`${name}\`: ${fault}`,
        cure: 'choose another header or claim',
        isAboutKey: true,
      })
    seen.add(name.toLowerCase())
  }
}

/** `timeout` is the short form of one of `timeouts`. */
export function checkTimeouts(
  path: Path,
  { timeout, timeouts }: Pick<UpstreamConfig, 'timeout' | 'timeouts'>,
  report: Report,
): void {
  if (timeout === undefined || timeouts?.idle === undefined) return
  report([...path, 'timeouts', 'idle'], {
    message: '`timeout` and `timeouts.idle` are the same time, and both are written',
    cure: 'remove one of them',
  })
}

function checkServer(
  id: string,
  text: string,
  path: Path,
  upstream: UpstreamConfig,
  config: PolicyConfig,
  report: Report,
  warn: Report,
): void {
  if (socketPathOf(text) !== null) return void checkSocketPath(text, path, report)
  const url = URL.parse(text)
  if (url === null || url.hostname === '') {
    report(path, {
      message: 'this is not a URL',
      cure: 'write scheme, host and port: `http://127.0.0.1:9000`',
    })
    return
  }
  const reach = reachOf(url.hostname)
  if (url.protocol === 'http:' && reach === 'anywhere' && !upstream.allowPlainHttpUpstream) {
    report(path, {
      message: 'requests and identities would travel in the clear: plain http:// beyond loopback and private networks',
      cure: 'write https://, or `allowPlainHttpUpstream: true` if the network is yours',
    })
  }
  if (reach === 'anywhere' && !upstream.assertion) {
    warn(['upstreams', id], {
      message: `\`${id}\` can be reached around the gateway, and with \`assertion: false\` it cannot tell`,
      cure: 'leave the assertion on and verify it there, or move the upstream to a private network',
      isAboutKey: true,
    })
  }
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
  const { listen } = config
  const isHere = reach === 'loopback' && (isUnspecified(listen.host) || reachOf(listen.host) === 'loopback')
  if (listen.port !== 0 && port === listen.port && isHere) {
    report(path, {
      message: 'this is the gateway itself',
      cure: 'write the address the backend listens on',
    })
  }
  if (
    config.admin !== undefined &&
    port === config.admin.listen.port &&
    isSameHost(url.hostname, config.admin.listen.host)
  ) {
    report(path, {
      message: 'this is the admin API of the gateway itself',
      cure: 'write the address the backend listens on',
    })
  }
}

function isSameHost(left: string, right: string): boolean {
  if (reachOf(left) === 'loopback' && reachOf(right) === 'loopback') return true
  return bareHost(left).toLowerCase() === right.toLowerCase()
}

/** A name that a server could fold into one of ours, or into framing, is never let through (SECURITY rule 6). */
export function checkHeaderNames(path: Path, route: RouteConfig, reserved: ReadonlySet<string>, report: Report): void {
  for (const [at, name] of route.allowHeaderNames.entries()) {
    const alias = name.toLowerCase().replace(/[^a-z0-9]+/g, '-')
    if (!isReserved(alias, reserved) && !isHopByHop(alias) && !OURS.test(alias)) continue
    report([...path, 'allowHeaderNames', at], {
      message: `\`${name}\` reads as \`${alias}\` to some servers, which clients may not send`,
      cure: 'remove it',
    })
  }
}

/** Framing, credentials, and what the gateway writes itself. */
const OURS =
  /^-?(?:host|content-length|transfer-encoding|content-type|cookie|set-cookie|authorization|x-api-key|expect|date|via|x-request-id|sec-.*)-?$/
