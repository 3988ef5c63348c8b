/**
 * `postern check`: would this policy start? Every mistake is printed with its line, column and cure.
 * Exit code 0 when there is none, 1 when there is one, 2 when there is no file to read.
 */

import { styleText } from 'node:util'
import { formatIssues, type Issue, inOrder, type Paint, type Style } from '../config/issues.ts'
import { inspectPolicy, readPolicyFile } from '../node/config-file.ts'
import { configFile } from './settings.ts'

export interface CheckOptions {
  readonly json?: boolean
  readonly allowUnset?: boolean
  readonly warningsAsErrors?: boolean
}

export function check(file: string | undefined, options: CheckOptions): void {
  const policy = readPolicyFile(configFile(file))
  const read = inspectPolicy(policy, process.env, options.allowUnset === true)
  const issues = 'issues' in read ? read.issues : []
  const warnings = 'issues' in read ? [] : read.warnings
  const isRefused = issues.length > 0 || (options.warningsAsErrors === true && warnings.length > 0)
  if (isRefused) process.exitCode = 1
  if (options.json === true) {
    const rows = [...asRows(issues, 'error'), ...asRows(warnings, 'warning')]
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`)
    return
  }
  if (issues.length > 0) {
    process.stdout.write(`${formatIssues(issues, paint)}\n\n${policy.file}: ${count(issues.length, 'mistake')}\n`)
    return
  }
  if (warnings.length > 0) process.stdout.write(`${formatIssues(warnings, paint, 'warning')}\n\n`)
  if ('issues' in read) return
  if (read.unset.length > 0) process.stdout.write(`not set here, and stood in for: ${read.unset.join(', ')}\n`)
  const { routes, upstreams, tests } = read.config
  const parts = [
    `${count(Object.keys(routes).length, 'route')} to ${count(Object.keys(upstreams).length, 'upstream')}`,
    ...(read.files.length > 1 ? [`in ${count(read.files.length, 'file')}`] : []),
    ...(warnings.length > 0 ? [count(warnings.length, 'warning')] : []),
    ...(tests.length > 0 ? [`${count(tests.length, 'test')} to run with \`postern test\``] : []),
  ]
  const verdict = isRefused ? styleText('red', 'refused') : styleText('green', 'ok')
  process.stdout.write(`${policy.file}: ${verdict}, ${parts.join(', ')}\n`)
}

function asRows(issues: readonly Issue[], severity: 'error' | 'warning'): readonly object[] {
  return inOrder(issues).map(({ file, line, column, length, path, message, cure }) => {
    return { file, line, column, length, path, message, cure, severity }
  })
}

const COLOURS = {
  place: 'bold',
  error: 'red',
  warning: 'yellow',
  caret: 'red',
  quiet: 'dim',
} as const satisfies Record<Style, string>

/** `styleText` leaves text as it is where colours are not wanted: NO_COLOR, a pipe, a file. */
const paint: Paint = (style, text) => styleText(COLOURS[style], text)

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
