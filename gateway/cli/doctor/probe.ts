/**
 * Asks the gateway and its upstreams as a stranger would. GETs only, and in the name of a user that cannot exist
 * (SECURITY rule 34): whoever lets that user in believes whoever can reach them.
 */

import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { reachOf } from '../../config/network.ts'
import { serverOrigin } from '../../config/tls-checks.ts'
import { socketPathOf } from '../../http/authority.ts'
import type { Config } from '../../node/config-file.ts'
import { askServer } from '../../node/upstream/ask.ts'
import type { Upstream } from '../../rules.ts'
import type { Snapshot } from '../../snapshot.ts'
import { DIALECTS, namesOf } from '../../transform/identity.ts'
import { type Finding, good, warning, wrong } from './finding.ts'
import { examineClock, textOf } from './stores.ts'

const TIMEOUT_MS = 3000
const BODY_CHARS_MAX = 65_536
/** Of an Error's `cause`, as fetch reports what stopped it. */
const TLS_CODES = /^(?:CERT_|ERR_TLS|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/

interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: Headers
  readonly askedAtMs: number
  readonly answeredAtMs: number
}

/** A user that cannot exist, under every name any dialect of the policy or the conventions uses. */
function forgedHeaders(snapshot: Snapshot, user: string): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const dialect of Object.values(DIALECTS)) for (const name of namesOf(dialect)) headers[name] = user
  for (const name of snapshot.reservedNames) headers[name] = user
  delete headers['authorization']
  return headers
}

export async function examineUpstreams(config: Config, snapshot: Snapshot): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const [id, upstream] of Object.entries(config.upstreams)) {
    for (const { url } of upstream.url) {
      const about = upstream.url.length === 1 ? `upstream ${id}` : `upstream ${id} (${url})`
      findings.push(...(await examineUpstream(about, id, serverOrigin(url), upstream.health?.path ?? '/', snapshot)))
    }
  }
  return findings
}

async function examineUpstream(
  about: string,
  id: string,
  origin: string,
  path: string,
  snapshot: Snapshot,
): Promise<Finding[]> {
  const user = `postern-doctor-${randomUUID()}`
  let plain: Answer
  let forged: Answer
  try {
    const upstream = snapshot.upstreams.get(id)!
    plain = await ask(upstream, origin, path, {})
    forged = await ask(upstream, origin, path, forgedHeaders(snapshot, user))
  } catch (error) {
    return [unreachable(about, origin, error)]
  }
  const findings: Finding[] = []
  const date = Date.parse(plain.headers.get('date') ?? '')
  findings.push(
    plain.status < 500
      ? good(about, `answers ${plain.status} to GET ${path}`)
      : wrong(about, `answers ${plain.status} to GET ${path}`, 'look into its log; name a healthy path under `health`'),
  )
  // A Date of HTTP says whole seconds, so the true time lies within the second after it.
  if (Number.isFinite(date))
    findings.push(examineClock(`clock of ${about}`, date, plain.askedAtMs - 1000, plain.answeredAtMs))
  const isBelieved = forged.body.includes(user) || (plain.status >= 400 && forged.status < 400)
  const around = await waysAround(origin)
  if (around.length > 0) {
    const [first = ''] = around
    findings.push(
      (isBelieved ? wrong : warning)(
        about,
        `can be reached around the gateway, at ${around.join(' and ')}${isBelieved ? ', and believes identity headers from anybody' : ''}`,
        reachOf(new URL(origin).hostname) === 'loopback'
          ? `let it listen on 127.0.0.1 alone, and not on ${first}`
          : 'let a firewall or a network policy pass the gateway alone, or verify X-Postern-Assertion there',
      ),
    )
  } else if (isBelieved) {
    findings.push(good(about, 'believes identity headers, and was found on no address beyond this machine'))
  }
  return findings
}

function unreachable(about: string, origin: string, error: unknown): Finding {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const code = (cause as { readonly code?: unknown } | null)?.code
  if (typeof code === 'string' && TLS_CODES.test(code)) {
    return wrong(
      about,
      `its certificate does not verify (${code})`,
      'renew it, or name its issuer: `tls: { ca }` for an upstream, NODE_EXTRA_CA_CERTS for everything',
    )
  }
  return wrong(
    about,
    `does not answer at ${origin}: ${typeof code === 'string' ? code : textOf(error)}`,
    'start it, or correct its `url`',
  )
}

/** Addresses beyond loopback under which the server of a loopback URL listens too; for others, the URL itself. */
async function waysAround(origin: string): Promise<readonly string[]> {
  if (socketPathOf(origin) !== null) return []
  const { hostname, port, protocol } = new URL(origin)
  const reach = reachOf(hostname)
  if (reach === 'anywhere') return [hostname]
  if (reach === 'private') return []
  const number = Number(port || (protocol === 'https:' ? 443 : 80))
  const found: string[] = []
  for (const address of ownAddresses()) if (await isOpen(address, number)) found.push(address)
  return found
}

function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return all.filter(({ internal, address }) => !internal && !address.startsWith('fe80:')).map(({ address }) => address)
}

function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS })
    const settle = (isConnected: boolean) => {
      socket.destroy()
      resolve(isConnected)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
    socket.once('timeout', () => settle(false))
  })
}

/** `origin` is where people reach the gateway; `paths` are ones its policy lets everybody have. */
export async function examineGateway(snapshot: Snapshot, paths: readonly string[]): Promise<Finding[]> {
  const { origin } = snapshot
  const about = 'gateway'
  const user = `postern-doctor-${randomUUID()}`
  try {
    const health = await get(`${origin}/_postern/healthz`, {})
    if (health.status !== 200 || health.body.trim() !== 'ok') {
      const cure = 'let the proxy in front pass everything of this host to the gateway, `/_postern/` included'
      return [wrong(about, `${origin}/_postern/healthz answers ${health.status}, and not as a gateway does`, cure)]
    }
    const findings = [good(about, `answers at ${origin}`), ...examineTransport(snapshot, health)]
    for (const path of paths) {
      const forged = await get(origin + path, forgedHeaders(snapshot, user))
      const isSeen = forged.body.includes(user)
      findings.push(
        isSeen
          ? wrong(
              about,
              `a forged identity came through to the upstream of ${path}`,
              'look for a proxy that answers past the gateway',
            )
          : good(about, `a forged identity was not seen by the upstream of ${path}`),
      )
    }
    return findings
  } catch (error) {
    return [{ ...unreachable(about, origin, error), cure: 'start it with `postern serve`, or correct `origin`' }]
  }
}

function examineTransport({ origin }: Snapshot, health: Answer): Finding[] {
  if (origin.startsWith('http:')) {
    return reachOf(new URL(origin).hostname) === 'loopback'
      ? [good('TLS', 'is not needed on this machine')]
      : [
          wrong(
            'TLS',
            'passwords and sessions travel in the clear',
            'put TLS in front or write `tls`, and write an https:// origin',
          ),
        ]
  }
  return [
    health.headers.has('strict-transport-security')
      ? good('TLS', 'the certificate verifies, and browsers are told to insist on it')
      : warning('TLS', 'Strict-Transport-Security does not arrive', 'let the proxy in front pass it on'),
  ]
}

/** As the gateway reaches it: by its socket, its certificates, its version of HTTP. */
async function ask(
  upstream: Upstream,
  origin: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  const askedAtMs = Date.now()
  const question = { path, headers: { ...headers, 'user-agent': 'postern-doctor' }, timeoutMs: TIMEOUT_MS }
  const answer = await askServer(upstream, origin, { ...question, bytesMax: BODY_CHARS_MAX })
  const fields = new Headers()
  for (let at = 0; at < answer.headers.length; at += 2) fields.append(answer.headers[at]!, answer.headers[at + 1]!)
  const { status, body } = answer
  return { status, body, headers: fields, askedAtMs, answeredAtMs: Date.now() }
}

async function get(url: string, headers: Readonly<Record<string, string>>): Promise<Answer> {
  const askedAtMs = Date.now()
  const response = await fetch(url, {
    method: 'GET',
    headers: { ...headers, 'user-agent': 'postern-doctor' },
    redirect: 'manual',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const body = await beginningOf(response)
  return { status: response.status, body, headers: response.headers, askedAtMs, answeredAtMs: Date.now() }
}

async function beginningOf(response: Response): Promise<string> {
  if (response.body === null) return ''
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length >= BODY_CHARS_MAX) break
  }
  return text
}
