/** What an import makes: routes, what it could not carry, and both as the text of a policy file. Unknown means `deny`. */

import { isObject } from '../../http/json.ts'

/** `deny`, `public`, `optional`, `login`, or requirements, as the file writes them. */
export type ImportedAccess = string | { readonly [key: string]: unknown }

export interface ImportedRoute {
  /** An upstream's name; null for a route that only denies. */
  readonly to: string | null
  /** By method, or `*` alone for all. */
  readonly access: ReadonlyMap<string, ImportedAccess>
  /** Further keys of a route, such as `stripPrefix`. */
  readonly more: Readonly<Record<string, unknown>>
  /** Said above the line. */
  readonly comment: string | null
}

/** Something of the source that the policy does not say, and what stands in its place. */
export interface Loss {
  /** In the source: `GET /books`, `rule 3`, `email_domains`. */
  readonly where: string
  readonly what: string
  /** `denied`, or what the reader has to do. */
  readonly instead: string
}

export interface ImportedTest {
  readonly method: string
  readonly path: string
  /** `allow`, or a status: what somebody without a credential gets. */
  readonly expect: 'allow' | number
}

export interface Imported {
  /** Title of the source, for the first line. */
  readonly title: string
  readonly origin: string
  readonly upstreams: Readonly<Record<string, unknown>>
  /** Top-level sections beside those here: `tokens`, `keys`. */
  readonly sections: Readonly<Record<string, unknown>>
  readonly routes: ReadonlyMap<string, ImportedRoute>
  readonly tests: readonly ImportedTest[]
  readonly losses: readonly Loss[]
}

/** What the reader of the source may say about where things are; sources rarely do. */
export interface ImportTarget {
  /** The URL people will use; null for what the source says, or this machine. */
  readonly origin: string | null
  /** Where the backend listens; null for what the source says, or this machine. */
  readonly upstream: string | null
}

export const HERE = 'http://localhost:8080'
export const UPSTREAM_HERE = 'http://127.0.0.1:9000'

/** The source cannot be understood at all; the message says what to do. */
export class ImportError extends Error {}

const LOSSES_SHOWN_MAX = 500
const LINE_CHARS_MAX = 120

export function importedText(imported: Imported, command: string): string {
  const { title, origin, upstreams, sections, routes, tests, losses } = imported
  const lines = [
    '# yaml-language-server: $schema=./gateway.schema.json',
    `# ${commentOf(title)}`,
    `# Made by \`${commentOf(command)}\`. A path that no route names does not exist.`,
    ...lossLines(losses),
    'version: 1',
    `origin: ${scalar(origin)}`,
    ...httpsLines(origin),
    '',
    ...Object.entries({ ...sections, upstreams }).flatMap(([name, value]) => [...block(name, value), '']),
    'routes:',
    ...[...routes].flatMap(([pattern, route]) => routeLines(pattern, route)),
  ]
  if (tests.length > 0) lines.push('', '# Who has nothing to show gets no further than the source says.', 'tests:')
  for (const { method, path, expect } of tests) lines.push(`  - ${flow({ [method]: path, expect })}`)
  return `${lines.join('\n')}\n`
}

function lossLines(losses: readonly Loss[]): readonly string[] {
  if (losses.length === 0) return ['']
  const shown = losses.slice(0, LOSSES_SHOWN_MAX).map((loss) => `#   ${commentOf(lossText(loss))}`)
  const left = losses.length - shown.length
  return ['#', '# Not carried over:', ...shown, ...(left > 0 ? [`#   and ${left} more`] : []), '']
}

export function lossText({ where, what, instead }: Loss): string {
  return `${where}: ${what} -> ${instead}`
}

/** A gateway behind a proxy that ends TLS, on one machine with it: the narrowest guess. */
function httpsLines(origin: string): readonly string[] {
  if (!origin.startsWith('https:')) return []
  return [
    'listen: 0.0.0.0:8080',
    '# The proxy in front that ends TLS.',
    'trust: [127.0.0.1/32]',
    'store: { secret: "${env:POSTERN_SECRET?}" }',
  ]
}

function block(name: string, value: unknown): readonly string[] {
  if (!isObject(value)) return [`${name}: ${flow(value)}`]
  const entries = Object.entries(value)
  if (entries.length === 0) return [`${name}: {}`]
  return [`${name}:`, ...entries.map(([key, item]) => `  ${scalar(key)}: ${flow(item)}`)]
}

function routeLines(pattern: string, { to, access, more, comment }: ImportedRoute): readonly string[] {
  const whole = access.get('*')
  const asked = whole !== undefined && access.size === 1 ? whole : Object.fromEntries(access)
  const route = { ...(to === null ? {} : { to }), access: asked, ...more }
  const said = comment === null ? [] : [`  # ${commentOf(comment)}`]
  const line = `  ${scalar(pattern)}: ${flow(route)}`
  return line.length <= LINE_CHARS_MAX ? [...said, line] : [...said, `  ${scalar(pattern)}:`, ...brokenUp(route)]
}

/** Each key on a line of its own, and each method. */
function brokenUp(route: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(route).flatMap(([key, item]) => {
    const line = `    ${scalar(key)}: ${flow(item)}`
    if (line.length <= LINE_CHARS_MAX || !isObject(item)) return [line]
    return [`    ${scalar(key)}:`, ...Object.entries(item).map(([name, one]) => `      ${scalar(name)}: ${flow(one)}`)]
  })
}

/** One line of YAML. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`
  if (isObject(value)) {
    const entries = Object.entries(value)
    return entries.length === 0
      ? '{}'
      : `{ ${entries.map(([key, item]) => `${scalar(key)}: ${flow(item)}`).join(', ')} }`
  }
  return typeof value === 'string' ? scalar(value) : String(value)
}

/** Plain where YAML reads it as this very text, also inside braces; else in quotes. */
function scalar(text: string): string {
  const isPlain = /^[A-Za-z/][A-Za-z0-9_./*:@-]*$/.test(text) && !text.endsWith(':')
  return isPlain && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text) ? text : JSON.stringify(text)
}

function commentOf(text: string): string {
  return text
    .replaceAll('’', "'")
    .replace(/[^\x20-\x7e]+/g, ' ')
    .slice(0, 1000)
}
