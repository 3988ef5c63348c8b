/** Rules of TLS, HTTP/2 and Unix sockets that no single field can know. What the files hold is for whoever opens them. */

import { socketPathOf } from '../http/authority.ts'
import type { PolicyConfig } from './compile.ts'
import type { Path, Trouble } from './issues.ts'
import type { UpstreamConfig } from './upstream-schema.ts'

type Report = (path: Path, trouble: Trouble) => void

export function checkTls({ tls, origin }: PolicyConfig, report: Report): void {
  if (tls === undefined || origin.startsWith('https:')) return
  report(['tls'], {
    message: `the gateway would speak TLS, and \`origin\` says ${origin}`,
    cure: 'write an https:// origin, or leave `tls` out',
    isAboutKey: true,
  })
}

/** Of one upstream. */
export function checkUpstreamTls(id: string, { url, tls }: UpstreamConfig, report: Report): void {
  const plain = url.find((server) => !/^https:/i.test(server.url))
  if (tls === undefined || plain === undefined) return
  report(['upstreams', id, 'tls'], {
    message: `\`tls\` has no meaning for ${plain.url}`,
    cure: 'write an https:// URL, or leave `tls` out',
    isAboutKey: true,
  })
}

/** What a socket's address can hold on every system. */
const SOCKET_PATH_CHARS_MAX = 103

export function checkSocketPath(url: string, path: Path, report: Report): void {
  if (socketPathOf(url)!.length <= SOCKET_PATH_CHARS_MAX) return
  report(path, {
    message: `the path of a Unix socket is at most ${SOCKET_PATH_CHARS_MAX} characters long`,
    cure: 'let the upstream listen at a shorter one, such as `/run/books.sock`',
  })
}

/** What names a server from here on: scheme and authority in one spelling, or `unix:` and its path. */
export function serverOrigin(url: string): string {
  return socketPathOf(url) !== null ? url : (URL.parse(url)?.origin ?? url)
}

/** Why a runtime without files and sockets cannot reach an upstream as the policy says; null when it can. */
export function unreachableFault({ upstreams }: Pick<PolicyConfig, 'upstreams'>): string | null {
  for (const [id, { url, tls }] of Object.entries(upstreams)) {
    const path = `upstreams.${id}`
    if (tls !== undefined)
      return `the Worker has no files, so it cannot honour \`${path}.tls\`; serve this upstream on Node`
    const socket = url.find((server) => socketPathOf(server.url) !== null)
    if (socket !== undefined) return `the Worker cannot open ${socket.url} of \`${path}\`; give it an https:// URL`
  }
  return null
}
