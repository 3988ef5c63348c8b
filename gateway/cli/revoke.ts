/** `postern revoke`: ends a session, a user's credentials, a token, a key, a signing key, an issuer's tokens or everything, also beside a running gateway. */

import { text } from 'node:stream/consumers'
import { type Config, readPolicyFile } from '../node/config-file.ts'
import { primitives } from '../node/crypto.ts'
import { jsonJournal } from '../node/journal.ts'
import { type Opened, openAll } from '../node/open.ts'
import { startupError } from '../node/startup-error.ts'
import type { RevocationRequest } from '../ports.ts'
import { nameOfRequest, OWN_SOURCE } from '../revocation/names.ts'
import { audited } from './audited.ts'
import { configFile } from './settings.ts'

export interface RevokeOptions {
  /** Name under `tokens` of the policy, or `postern`. */
  readonly issuer?: string
  readonly subject?: string
  readonly yes?: boolean
  readonly json?: boolean
  readonly config?: string
  readonly data: string
}

const KINDS = ['session', 'user', 'token', 'key', 'kid', 'issuer', 'all'] as const
type RevokeKind = (typeof KINDS)[number]

const JOURNAL_FD = 2

export async function revoke(word: string, given: string | null, options: RevokeOptions): Promise<void> {
  const kind = KINDS.find((known) => known === word)
  if (kind === undefined)
    throw startupError(`${JSON.stringify(word)} cannot be revoked. Name one of: ${KINDS.join(', ')}.`)
  if (kind === 'all' && options.yes !== true) {
    throw startupError('This signs everybody out and ends every token and key issued so far. Say --yes to do it.')
  }
  const token = kind === 'token' && given === '-' ? await tokenFromInput() : null
  const policy = readPolicyFile(configFile(options.config))
  const journal = jsonJournal(JOURNAL_FD)
  const opened = await openAll({ policy, env: process.env, dataDir: options.data, journal, isCommand: true })
  try {
    const request = await requestFor(opened, kind, token, given ?? '', options)
    const target = nameOfRequest(request)
    const revoked = await audited(
      opened,
      `revoke ${request.kind}`,
      target,
      () =>
        opened.identity.revoker.revoke(request).catch((error: unknown) => {
          throw startupError(`Nothing was revoked, as far as we know. ${cureOf(error)}`, error)
        }),
      ({ sequences }) => sequences.join(' '),
    )
    const withinSeconds = revoked.isCarried ? 0 : Math.ceil(opened.config.revocation.maxStaleness / 1000)
    process.stdout.write(options.json === true ? asJson() : asText())

    function asJson(): string {
      const { sequences, isCarried } = revoked
      return `${JSON.stringify({ revoked: target, sequences, carried: isCarried, withinSeconds })}\n`
    }
    function asText(): string {
      const when = revoked.isCarried
        ? 'every node was told at once'
        : `every node honours it within ${withinSeconds} s, when it has read the log`
      return `revoked ${target} (log number ${revoked.sequences.join(', ')}); ${when}\n`
    }
  } finally {
    await opened.close()
    await journal.flush()
  }
}

/** `token` is a whole one that came by standard input. */
async function requestFor(
  opened: Opened,
  kind: RevokeKind,
  token: string | null,
  named: string,
  options: RevokeOptions,
): Promise<RevocationRequest> {
  const { config } = opened
  if (kind !== 'all' && named === '') throw startupError(`Name the ${kind} to revoke.`)
  switch (kind) {
    case 'session':
    case 'key':
      return { kind, id: named }
    case 'user':
      return { kind: 'subject', subject: await subjectOf(opened, named) }
    case 'token': {
      const { source, tokenId } = token === null ? byId(config, named, options) : byText(config, token, options)
      return { kind, source, tokenId, subject: options.subject ?? null, expiresAtMs: null }
    }
    case 'kid':
      return { kind, source: sourceNamed(config, options.issuer), kid: named }
    case 'issuer':
      return { kind, source: sourceNamed(config, named) }
    case 'all':
      return { kind: 'everything' }
  }
}

/** An e-mail address or an id of ours, or `<issuer>:<sub>`. */
async function subjectOf({ config, identity }: Opened, named: string): Promise<string> {
  const colon = named.indexOf(':')
  const issuer = Object.hasOwn(config.tokens, named.slice(0, colon)) ? config.tokens[named.slice(0, colon)] : undefined
  if (issuer !== undefined) return issuer.subjects === 'local' ? named.slice(colon + 1) : named
  if (named.includes('@')) {
    const found = await identity.users.findByEmail(named)
    if (found !== null) return found.id
    throw startupError(`There is no user with the e-mail ${named}. Name the user by id, or as <issuer>:<sub>.`)
  }
  if ((await identity.directory.find(named)) !== null) return named
  throw startupError(
    `There is no user with the id ${JSON.stringify(named)}, so nothing was revoked. Whoever was deleted is revoked already. Name a user by e-mail or id, or as <issuer>:<sub> with one of: ${Object.keys(config.tokens).join(', ') || 'no issuer'}.`,
  )
}

interface TokenName {
  readonly source: string
  readonly tokenId: string
}

function byId(config: Config, tokenId: string, { issuer }: RevokeOptions): TokenName {
  return { source: sourceNamed(config, issuer), tokenId }
}

/**
 * A whole token names itself, by claims that nobody verified: neither `exp` nor `sub` of a text that somebody handed in may
 * shorten or narrow what is revoked. One without `jti` is named by its text.
 */
function byText(config: Config, token: string, { issuer }: RevokeOptions): TokenName {
  const claims = claimsOf(token)
  const source = issuer === undefined ? sourceOfIssuer(config, claims?.iss) : sourceNamed(config, issuer)
  const tokenId = typeof claims?.jti === 'string' && claims.jti !== '' ? claims.jti : `#${primitives.sha256(token)}`
  return { source, tokenId }
}

async function tokenFromInput(): Promise<string> {
  const token = (await text(process.stdin)).trim()
  if (token === '') throw startupError('No token came by standard input.')
  return token
}

/** RFC 7519 §3: the middle part. Null for an opaque token. */
function claimsOf(token: string): { readonly iss?: unknown; readonly jti?: unknown } | null {
  const parts = token.split('.')
  if (parts.length !== 3) return null
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1]!, 'base64url').toString('utf8'))
    return typeof claims === 'object' ? claims : null
  } catch {
    return null
  }
}

function sourceNamed(config: Config, name: string | undefined): string {
  if (name === OWN_SOURCE || (name !== undefined && Object.hasOwn(config.tokens, name))) return name
  const names = [...Object.keys(config.tokens), OWN_SOURCE].join(', ')
  throw startupError(
    name === undefined
      ? `Say whose it is with --issuer: one of ${names}.`
      : `The policy has no issuer ${JSON.stringify(name)} under tokens. There are: ${names}.`,
  )
}

function sourceOfIssuer(config: Config, issuer: unknown): string {
  if (issuer === config.origin) return OWN_SOURCE
  const found = Object.entries(config.tokens).find(([, entry]) => entry.issuer === issuer)
  if (found !== undefined) return found[0]
  throw startupError(
    `The token does not say which issuer of the policy it is of. Say it with --issuer: one of ${[...Object.keys(config.tokens), OWN_SOURCE].join(', ')}.`,
  )
}

function cureOf(error: unknown): string {
  const why = error instanceof Error ? error.message : String(error)
  return `The database says: ${why}. Check that it runs and can be written, then ask again: asking twice does no harm.`
}
