/**
 * The files that `tls` names, read and tried: each must be what it is said to be, a key must fit its certificate, and the first
 * certificate is looked at as clients will. They are part of the policy: with one that will not do, nothing is put in force.
 */

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import { type Issue, issueAt, type Path, type Places, type Trouble } from '../config/issues.ts'
import type { GatewayConfig } from '../config/schema.ts'
import { bareHost } from '../http/authority.ts'

/** What stands in the files, as PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface ServerTls {
  /** The first is for whoever asks for no name, or for one that none has. */
  readonly certificates: readonly Certificate[]
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly isHttp2: boolean
  /** When the first of them ends. */
  readonly expiresAtMs: number
}

/** How a server is spoken to, where not as its origin alone says. */
export interface ServerWay {
  readonly ca: string | null
  readonly certificate: Certificate | null
  readonly serverName: string | null
  readonly isHttp2: boolean
}

export interface TlsFiles {
  readonly server: ServerTls | null
  /** By the id of the upstream; only those that have something to say. */
  readonly ways: ReadonlyMap<string, ServerWay>
  /** Absolute paths. */
  readonly files: readonly string[]
}

type Config = Pick<GatewayConfig, 'tls' | 'upstreams' | 'origin'>

/** Certificates are renewed well before; one that is not by then has been forgotten. */
const RENEWAL_MS = 7 * 86_400_000

/** `folder` is the policy file's. */
export function readTlsFiles(
  config: Config,
  folder: string,
  places: Places,
  nowMs: number,
): { readonly tls: TlsFiles; readonly issues: readonly Issue[]; readonly warnings: readonly Issue[] } {
  const issues: Issue[] = []
  const warnings: Issue[] = []
  const files = new Set<string>()
  const report = (path: Path, trouble: Trouble) => void issues.push(issueAt(places, path, trouble))
  const warn = (path: Path, trouble: Trouble) => void warnings.push(issueAt(places, path, trouble))
  return { tls: { server: readServer(), ways: readWays(), files: [...files] }, issues, warnings }

  function readServer(): ServerTls | null {
    const { tls } = config
    if (tls === undefined) return null
    const listed = [{ given: tls, path: ['tls'] as Path }].concat(
      tls.others.map((given, at) => ({ given: { ...tls, ...given }, path: ['tls', 'others', at] })),
    )
    const certificates: Certificate[] = []
    const leaves: X509Certificate[] = []
    for (const { given, path } of listed) {
      const pair = readPair(given.certificate, given.key, path)
      if (pair === null) continue
      certificates.push(pair.certificate)
      leaves.push(pair.leaf)
      judgeAge(pair.leaf, [...path, 'certificate'])
    }
    const { hostname } = new URL(config.origin)
    if (leaves.length > 0 && !leaves.some((leaf) => isFor(leaf, hostname))) {
      warn(['tls', 'certificate'], {
        message: `no certificate is for ${hostname}, where people reach the gateway`,
        cure: `get one for that name, or correct \`origin\`; it is for ${leaves[0]!.subjectAltName ?? 'no name at all'}`,
      })
    }
    return {
      certificates,
      minVersion: Number(tls.minVersion) === 1.3 ? 'TLSv1.3' : 'TLSv1.2',
      isHttp2: tls.http2,
      expiresAtMs: Math.min(...leaves.map((leaf) => leaf.validToDate.getTime())),
    }
  }

  function readWays(): ReadonlyMap<string, ServerWay> {
    const ways = new Map<string, ServerWay>()
    for (const [id, { tls, http2 }] of Object.entries(config.upstreams)) {
      if (tls === undefined && !http2) continue
      const path = ['upstreams', id, 'tls']
      const { certificate, key, serverName = null } = tls ?? {}
      const pair = certificate === undefined || key === undefined ? null : readPair(certificate, key, path)
      if (pair !== null) judgeAge(pair.leaf, [...path, 'certificate'])
      const ca = tls?.ca === undefined ? null : readAuthorities(tls.ca, [...path, 'ca'])
      ways.set(id, { ca, certificate: pair?.certificate ?? null, serverName, isHttp2: http2 })
    }
    return ways
  }

  function readPair(file: string, keyFile: string, path: Path) {
    const cert = read(file, [...path, 'certificate'])
    const key = read(keyFile, [...path, 'key'])
    if (cert === null || key === null) return null
    const leaf = leafOf(cert)
    if (leaf === null) {
      report([...path, 'certificate'], {
        message: `${file} holds no certificate`,
        cure: 'name a PEM file that begins with `-----BEGIN CERTIFICATE-----`, the server’s own certificate first',
      })
    }
    const secret = secretOf(key)
    if (secret === null) {
      report([...path, 'key'], {
        message: `${keyFile} holds no private key that can be read`,
        cure: 'name a PEM file with one private key and without a passphrase',
      })
    }
    if (leaf === null || secret === null) return null
    if (!leaf.checkPrivateKey(secret)) {
      report([...path, 'key'], {
        message: `the key of ${keyFile} does not belong to the certificate of ${file}`,
        cure: 'name the two that were made together; in a chain the server’s own certificate stands first',
      })
      return null
    }
    const fault = contextFault({ cert, key })
    if (fault !== null) {
      report([...path, 'certificate'], {
        message: `TLS cannot use ${file}: ${fault}`,
        cure: 'get another certificate, with a key of 2048 bits (RSA) or on P-256, and a chain of PEM certificates alone',
      })
      return null
    }
    return { certificate: { cert, key }, leaf }
  }

  function readAuthorities(file: string, path: Path): string | null {
    const ca = read(file, path)
    if (ca === null) return null
    if (leafOf(ca) !== null && contextFault({ ca }) === null) return ca
    report(path, {
      message: `${file} holds no certificate`,
      cure: 'name a PEM file with the certificates of the issuers to believe',
    })
    return null
  }

  function read(file: string, path: Path): string | null {
    const whole = resolve(folder, file)
    files.add(whole)
    try {
      return readFileSync(whole, 'utf8')
    } catch (error) {
      const code = (error as { code?: unknown }).code
      report(path, {
        message: `${file} cannot be read: ${READ_ERRORS[String(code)] ?? code}`,
        cure: 'correct the path, which is relative to the policy file, or let this user read it',
      })
      return null
    }
  }

  function judgeAge(leaf: X509Certificate, path: Path): void {
    const endsInMs = leaf.validToDate.getTime() - nowMs
    const isEarly = leaf.validFromDate.getTime() > nowMs
    if (endsInMs > RENEWAL_MS && !isEarly) return
    const message = isEarly
      ? `the certificate is not valid before ${leaf.validFrom}`
      : `the certificate ${endsInMs <= 0 ? 'expired' : 'expires'} on ${leaf.validTo}`
    warn(path, {
      message,
      cure: isEarly ? 'look at the clock of this machine' : 'renew it; the new file is taken up by itself',
    })
  }
}

const READ_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'it is not readable for this user',
}

function leafOf(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem)
  } catch {
    return null
  }
}

function secretOf(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem)
  } catch {
    return null
  }
}

/** OpenSSL has opinions of its own on key sizes, digests and chains. */
function contextFault(options: { readonly cert?: string; readonly key?: string; readonly ca?: string }): string | null {
  try {
    createSecureContext(options)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Is the certificate one that clients take for this host? What no host can be called is none, whoever asks for it. */
export function isFor(leaf: X509Certificate, host: string): boolean {
  const name = bareHost(host)
  try {
    return (isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name)) !== undefined
  } catch {
    return false
  }
}
