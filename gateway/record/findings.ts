/** Findings as they may be kept: an e-mail address and what an issuer claims of somebody belong in no log. */

import type { Finding } from '../model.ts'

const PERSONAL: ReadonlySet<string> = new Set(['email', 'claim'])
const INSTEAD: Readonly<Record<Finding['verdict'], string>> = {
  met: 'that',
  unmet: 'another',
  unknown: 'none that counts',
  skipped: 'nobody',
}

export function discreet(findings: readonly Finding[]): readonly Finding[] {
  return findings.map((finding) => {
    const { key, had, verdict, of } = finding
    return { ...finding, had: PERSONAL.has(key) ? INSTEAD[verdict] : had, of: discreet(of) }
  })
}
