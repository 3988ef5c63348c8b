/** Certificates made for one run; no key is ever committed. */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface MadeCertificate {
  /** Files. */
  readonly certificate: string
  readonly key: string
  /** What stands in them. */
  readonly cert: string
  readonly secret: string
}

export interface CertificateOptions {
  readonly days?: number
  /** Who signs it; absent: itself. */
  readonly issuer?: MadeCertificate
}

/** `names` as OpenSSL writes them: `DNS:localhost,IP:127.0.0.1`. */
export function makeCertificate(
  folder: string,
  file: string,
  names: string,
  { days = 30, issuer }: CertificateOptions = {},
): MadeCertificate {
  const certificate = join(folder, `${file}.pem`)
  const key = join(folder, `${file}.key`)
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key]
  const subject = ['-subj', `/CN=${file}`, '-addext', `subjectAltName=${names}`, '-days', String(days)]
  const signed = issuer === undefined ? [] : ['-CA', issuer.certificate, '-CAkey', issuer.key]
  execFileSync('openssl', ['req', '-x509', ...made, ...subject, ...signed, '-out', certificate], { stdio: 'pipe' })
  return { certificate, key, cert: readFileSync(certificate, 'utf8'), secret: readFileSync(key, 'utf8') }
}
