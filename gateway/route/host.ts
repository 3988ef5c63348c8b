/**
 * Hosts in front of patterns: `api.example.com`, or `*.example.com` for exactly one label more. A pattern without a host is of
 * the origin's own host and of no other, so that adding a host somewhere never changes what other lines mean.
 */

import { normalizeAuthority } from '../http/authority.ts'
import type { AdmissionRules } from '../snapshot.ts'

/** Scheme and authority of the origin: patterns without a host are there, and hosts without a port have its port. */
export type OwnHost = Pick<AdmissionRules, 'scheme' | 'authority'>

export interface HostError {
  readonly message: string
  readonly cure: string
}

/** Does the text in front of the first slash mean a host? A word alone is rather a path whose slash was forgotten. */
export function isHostLike(text: string): boolean {
  return /[.[]|[^:]:\d|^localhost$/i.test(text) && !text.startsWith(':') && !text.startsWith('.')
}

/** The authority as requests are compared by, `*.` in front for a wildcard; null for the origin's own. */
export function parseHost(text: string, own: OwnHost): { readonly host: string | null } | HostError {
  const fault = hostFault(text)
  if (fault !== null) return fault
  const hasPort = portOf(text) !== ''
  const host = normalizeAuthority(hasPort ? text : text + portOf(own.authority), own.scheme)
  return { host: host === own.authority ? null : host }
}

function hostFault(text: string): HostError | null {
  const shown = `\`${text}\``
  if (text.includes('://')) {
    return fail(`${shown} holds a scheme`, `write the host alone: \`${text.slice(text.indexOf('://') + 3)}\``)
  }
  if (/[^\x21-\x7e]/.test(text)) {
    const ascii = URL.parse(`http://${text}`)?.host
    return fail(`${shown} is not written as browsers send it`, `write it in ASCII: \`${ascii ?? 'xn--...'}\``)
  }
  if (/[A-Z]/.test(text)) return fail(`${shown} holds capitals`, `write \`${text.toLowerCase()}\``)
  if (/\.(?::\d+)?$/.test(text)) return fail(`${shown} ends in a dot`, `write \`${text.replace(/\.(?=:|$)/, '')}\``)
  const rest = text.startsWith('*.') ? text.slice(2) : text
  if (rest.includes('*')) {
    return fail(
      `in ${shown} a \`*\` stands for more or less than the first label`,
      'write `"*.example.com"`: exactly one label in front of a name; list other depths by lines of their own',
    )
  }
  const port = portOf(rest)
  const url = URL.parse(`http://${rest}`)
  const isSame = url !== null && url.hostname === rest.slice(0, rest.length - port.length)
  const isName = HOST.test(rest) && !rest.includes('..') && rest.length <= 253
  const isAddress = /^\[|^\d+(?:\.\d+){3}(?::|$)/.test(rest)
  if (!isSame || !isName || (port !== '' && !(Number(port.slice(1)) >= 1)) || (rest !== text && isAddress)) {
    return fail(
      `${shown} is not a host`,
      `write a host, such as \`api.example.com/**\`; a path alone begins with \`/\`: \`/${text}\``,
    )
  }
  return null
}

const HOST = /^(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)(?::\d{1,5})?$/

/** `:8080`, or nothing. */
export function portOf(authority: string): string {
  return /^(?:\[[^\]]*\]|[^:]*)(:\d+)$/.exec(authority)?.[1] ?? ''
}

/** `.example.com:8080` of a wildcard, by which it is looked up; null for a host that is named whole. */
export function wildcardSuffix(host: string): string | null {
  return host.startsWith('*.') ? host.slice(1) : null
}

/**
 * What of an authority a wildcard is looked up by: all from its first dot. Null where the first label is none, since the whole
 * is written into header fields for upstreams.
 */
export function suffixOf(authority: string): string | null {
  const dot = authority.indexOf('.')
  return dot > 0 && LABEL.test(authority.slice(0, dot)) ? authority.slice(dot) : null
}

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

function fail(message: string, cure: string): HostError {
  return { message, cure }
}
