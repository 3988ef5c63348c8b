/** Rules of `tokens` that no single field can know: that no issuer can be taken for another, and that no secret stands among its keys. */

import type { PolicyConfig } from './compile.ts'
import type { TokenIssuerConfig } from './credentials-schema.ts'
import { nearest, type Path, type Trouble } from './issues.ts'

type Report = (path: Path, trouble: Trouble) => void

export function checkTokens({ tokens, origin }: Pick<PolicyConfig, 'tokens' | 'origin'>, report: Report): void {
  const byIssuer = new Map<string, string>()
  const opaque: { readonly name: string; readonly prefix: string }[] = []
  for (const [name, entry] of Object.entries(tokens)) {
    const path = ['tokens', name]
    checkIssuer(path, name, entry.issuer, origin, byIssuer, report)
    checkKeys(path, entry, report)
    checkClaims(path, entry, report)
    if (entry.introspection === undefined) continue
    const prefix = entry.introspection.prefix ?? ''
    const other = opaque.find((one) => prefix.startsWith(one.prefix) || one.prefix.startsWith(prefix))
    if (other !== undefined) {
      report([...path, 'introspection'], {
        message: `an opaque token could be \`${other.name}\`'s or \`${name}\`'s, and would be shown to the wrong one`,
        cure: 'give each a `prefix` that its tokens begin with, and that begins no other',
        isAboutKey: true,
      })
    }
    opaque.push({ name, prefix })
  }
}

function checkIssuer(
  path: Path,
  name: string,
  issuer: string,
  origin: string,
  byIssuer: Map<string, string>,
  report: Report,
): void {
  const other = byIssuer.get(issuer)
  if (other !== undefined) {
    report([...path, 'issuer'], {
      message: `\`${other}\` has the same issuer, so a token could be either's`,
      cure: 'keep one entry; `audience` takes a list',
    })
  } else if (issuer === origin) {
    report([...path, 'issuer'], {
      message: 'this is the gateway itself, whose tokens are accepted anyway',
      cure: 'remove the entry',
    })
  }
  byIssuer.set(issuer, other ?? name)
}

/** What an entry maps beside the names that have a place of their own, by the names it has here. */
export function furtherClaims(claims: TokenIssuerConfig['claims']): Readonly<Record<string, string>> {
  const isFurther = (entry: readonly [string, string | undefined]): entry is [string, string] =>
    entry[1] !== undefined && !OWN_NAMES.includes(entry[0])
  return Object.fromEntries(Object.entries(claims).filter(isFurther))
}

/** The claims that any issuer's entry maps. A policy asks for no others: nobody could have them. */
export function claimNames(tokens: PolicyConfig['tokens']): readonly string[] {
  return [...new Set(Object.values(tokens).flatMap(({ claims }) => Object.keys(furtherClaims(claims))))]
}

const OWN_NAMES: readonly string[] = ['roles', 'scopes', 'groups', 'email', 'name']
const CLAIM_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/

function checkClaims(path: Path, { claims }: TokenIssuerConfig, report: Report): void {
  for (const name of Object.keys(furtherClaims(claims))) {
    const at = [...path, 'claims', name]
    const meant = nearest(name, OWN_NAMES)
    if (!CLAIM_NAME.test(name) || name in Object.prototype) {
      report(at, {
        message: `\`${name}\` cannot be the name of a claim here`,
        cure: 'begin with a letter, then letters, digits, `_` and `-`; the path after the colon says where the issuer keeps it',
        isAboutKey: true,
      })
    } else if (meant !== null) {
      report(at, {
        message: `\`${name}\` would be a claim of its own, and is easily taken for \`${meant}\``,
        cure: `did you mean \`${meant}\`? Otherwise give it a name that is further away`,
        isAboutKey: true,
      })
    }
  }
}

function checkKeys(path: Path, entry: TokenIssuerConfig, report: Report): void {
  if (entry.jwks !== undefined && entry.keys !== undefined) {
    report([...path, 'jwks'], {
      message: 'the keys stand here and at an address, and only one of them can be right',
      cure: 'keep `jwks` or `keys`',
    })
  }
  for (const [at, key] of (entry.keys ?? []).entries()) {
    if (!SECRET_MEMBERS.some((member) => Object.hasOwn(key, member))) continue
    report([...path, 'keys', at], {
      message: 'this key is private or symmetric: who reads the policy could sign tokens with it',
      cure: 'write its public half (`kty`, `crv`, `x`, `y`, or `n` and `e`), and replace the key at its issuer',
      isSecret: true,
    })
  }
  for (const [at, text] of entry.allowKeyOrigins.entries()) {
    if (new URL(text).pathname === '/') continue
    report([...path, 'allowKeyOrigins', at], {
      message: 'an origin has no path',
      cure: `write \`${new URL(text).origin}\``,
    })
  }
  if (entry.keyCache.keep < entry.keyCache.maxAge) {
    report([...path, 'keyCache', 'keep'], {
      message: 'keys would be dropped before they are read again: `keep` is shorter than `maxAge`',
      cure: 'make `keep` the longer one',
    })
  }
}

/** RFC 7518 §6. */
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'] as const
