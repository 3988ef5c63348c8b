/**
 * The gate: bytes become one admitted request, or a refusal (SECURITY rules 1-4 and 6). Everything after it reads this one
 * value, so whatever two parsers could read in two ways must end here, whichever runtime parsed it first.
 */

import { normalizeAuthority } from '../http/authority.ts'
import { type CanonicalTarget, parseTarget } from '../http/target.ts'
import { type RawHead, Refusal, type RequestHead } from '../model.ts'
import type { AdmissionRules } from '../snapshot.ts'
import { clientAddressOf, peerOf } from './client-address.ts'
import { type Fields, readFields } from './fields.ts'
import { bodyBytesOf } from './framing.ts'
import { isHttp2Head } from './http2.ts'
import { isNavigation } from './navigation.ts'

const METHOD_REFUSED = Object.freeze(new Refusal('method.refused'))
const TOO_LONG = Object.freeze(new Refusal('target.too-long'))
const MALFORMED_TARGET = Object.freeze(new Refusal('target.malformed'))
const AUTHORITY_DIFFERS = Object.freeze(new Refusal('target.authority-differs'))
const MALFORMED = Object.freeze(new Refusal('head.malformed'))
const FRAMING = Object.freeze(new Refusal('head.framing'))

export function admit(rules: AdmissionRules, raw: RawHead): RequestHead | Refusal {
  const { method } = raw
  if (!isMethod(method)) return METHOD_REFUSED

  const fields = readFields(rules, raw.headers)
  if (fields instanceof Refusal) return fields
  if (raw.httpVersion === '2.0' && !isHttp2Head(raw.headers, fields.names)) return MALFORMED
  const bodyBytes = bodyBytesOf(raw.httpVersion, fields.contentLength, fields.transferEncoding, raw.isOpen === true)
  if (bodyBytes === null) return FRAMING
  if (raw.isUpgrade) {
    if (method !== 'GET' || raw.httpVersion !== '1.1') return MALFORMED // RFC 6455 §4.1
    if (bodyBytes !== 0) return FRAMING // its bytes would be read as WebSocket frames by one side only
  }

  const authority = normalizeAuthority(fields.host, rules.scheme)
  const target = readTarget(rules, raw, authority)
  if (target instanceof Refusal) return target
  if (!rules.isServed(authority)) return unknownAuthority(rules)

  const peer = peerOf(raw.peerAddress)
  return {
    requestId: raw.requestId,
    receivedAtMs: raw.receivedAtMs,
    method,
    target: {
      scheme: rules.scheme,
      authority,
      path: target.path,
      query: target.query,
      readings: target.readings,
    },
    httpVersion: raw.httpVersion,
    headers: fields.headers,
    names: fields.names,
    droppedHeaders: fields.droppedHeaders,
    clientAddress: clientOf(rules, peer, fields),
    peerAddress: peer,
    isUpgrade: raw.isUpgrade,
    isNavigation: !raw.isUpgrade && isNavigation(method, fields.fetchMode, fields.accept),
    bodyBytes,
    authorization: fields.authorization,
    // Browser sessions exist on the origin's host only: one that wandered to another host is not one.
    sessionCookie: authority === rules.authority ? fields.sessionCookie : null,
    apiKey: fields.apiKey,
    origin: fields.origin,
    fetchSite: fields.fetchSite,
    preflightFor: preflightFor(method, fields),
  }
}

/**
 * A head that was admitted, as of now: what a proxy says of its client counts only while the proxy is trusted, and what it said
 * before it was is read when it is.
 */
export function readmit(rules: AdmissionRules, head: RequestHead, nowMs: number): RequestHead {
  return { ...head, receivedAtMs: nowMs, clientAddress: clientOf(rules, head.peerAddress, head) }
}

function clientOf({ isTrusted }: AdmissionRules, peer: string, fields: Pick<RequestHead, 'headers' | 'names'>): string {
  return isTrusted(peer) ? clientAddressOf(isTrusted, peer, fields) : peer
}

/** Says where the gateway is: it is no secret, and the way in for whoever set up a proxy or a browser a little wrong. */
function unknownAuthority({ scheme, authority }: AdmissionRules): Refusal {
  return new Refusal('authority.unknown', {
    detail: `This host is not served here; the gateway is at ${scheme}://${authority}.`,
  })
}

/** Fetch §3.2.2: an OPTIONS request with an Origin that names a method. For one that is never relayed it is no preflight. */
function preflightFor(method: string, { origin, askedMethod }: Fields): string | null {
  if (method !== 'OPTIONS' || origin === null || askedMethod === null) return null
  return isMethod(askedMethod) ? askedMethod : null
}

/**
 * RFC 9110 §9.1: methods are case-sensitive, and a backend that folds `get` would see another method than the policy did.
 * CONNECT would turn the connection into a tunnel, TRACE and TRACK show a request's headers to scripts.
 */
function isMethod(method: string): boolean {
  if (method === 'GET' || method === 'POST') return true
  return METHOD.test(method) && method !== 'CONNECT' && method !== 'TRACE' && method !== 'TRACK'
}

const METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/

/** RFC 9112 §3.2: origin-form, or absolute-form that names the host the request is for. Nothing else is for a gateway. */
function readTarget(rules: AdmissionRules, raw: RawHead, authority: string): CanonicalTarget | Refusal {
  const { target } = raw
  if (target.length > rules.targetBytesMax) return TOO_LONG
  if (target.charCodeAt(0) === SLASH) return parseTarget(target, rules.isEncodedSlashAdmitted)
  if (target === '*') return raw.method === 'OPTIONS' ? METHOD_REFUSED : MALFORMED_TARGET
  const absolute = ABSOLUTE.exec(target)
  if (absolute === null) return MALFORMED_TARGET
  const [, scheme = '', named = '', rest = ''] = absolute
  if (scheme.toLowerCase() !== rules.scheme || normalizeAuthority(named, rules.scheme) !== authority) {
    return AUTHORITY_DIFFERS
  }
  return parseTarget(rest.startsWith('/') ? rest : `/${rest}`, rules.isEncodedSlashAdmitted)
}

const SLASH = 0x2f
const ABSOLUTE = /^(https?):\/\/([^/?#]+)(.*)$/is
