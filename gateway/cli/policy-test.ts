/**
 * `postern test`: runs the tests that a policy file carries, by the decisions the gateway itself makes, and says what they leave
 * out. Needs no secret and asks nobody. Exit code 1 for a failed test, a broken policy or too little coverage.
 */

import { styleText } from 'node:util'
import junit, { type Builder } from 'junit-report-builder'
import { loadForTools } from '../node/config-file.ts'
import { type Coverage, coverageOf } from '../policy/coverage.ts'
import { runPolicyTests, type TestReport } from '../policy/run-tests.ts'
import { clean } from './explain-text.ts'
import { configFile, writeOutput } from './settings.ts'

export interface PolicyTestOptions {
  readonly json?: boolean
  /** A file to write. */
  readonly junit?: string
  readonly coverage?: boolean
  /** In percent. */
  readonly coverageMin?: number
}

export async function testPolicy(given: string | undefined, options: PolicyTestOptions): Promise<void> {
  const file = configFile(given)
  const { config, snapshot, places } = loadForTools(file)
  const report = await runPolicyTests({ config, snapshot, places, nowMs: Date.now() })
  const coverage = coverageOf(snapshot, report.simulations)
  const isThin = coverage.percent < (options.coverageMin ?? 0)
  if (report.failed > 0 || isThin) process.exitCode = 1
  if (options.junit !== undefined) writeOutput(options.junit, junitOf(file, report))
  const { results, failed } = report
  const text =
    options.json === true
      ? `${JSON.stringify({ file, failed, results, coverage }, null, 2)}\n`
      : [
          ...results.flatMap(linesOf),
          ...(options.coverage === true ? missedLines(coverage) : []),
          coverageLine(coverage),
          ...(isThin ? [styleText('red', `coverage is below ${options.coverageMin}%`)] : []),
          summary(report),
          '',
        ].join('\n')
  process.stdout.write(text)
}

function linesOf({ title, expected, place, failure, why }: TestReport['results'][number]): readonly string[] {
  if (failure === null) return [`${styleText('green', '✓')} ${clean(title)}: ${expected}`]
  const reason = why === null ? [] : [`    ${styleText('dim', clean(why))}`]
  return [`${styleText('red', '✗')} ${clean(title)}  ${styleText('dim', place)}`, `    ${clean(failure)}`, ...reason]
}

function missedLines({ points }: Coverage): readonly string[] {
  const missed = points.filter(({ isCovered }) => !isCovered)
  return missed.map(({ pattern, place, branch }) => `untested: ${pattern}  ${branch}  ${styleText('dim', place)}`)
}

function coverageLine({ routes, routesTouched, points, covered, percent }: Coverage): string {
  const hint = covered < points.length ? '; `--coverage` lists the rest' : ''
  return `coverage: ${routesTouched} of ${routes} routes, ${covered} of ${points.length} branches (${percent}%)${hint}`
}

function summary({ results, failed }: TestReport): string {
  if (results.length === 0) return 'no tests: add `tests:`, such as `- { GET: /api/books, as: nobody, expect: 401 }`'
  const all = `${results.length} test${results.length === 1 ? '' : 's'}`
  return failed === 0 ? styleText('green', `${all}, all passed`) : styleText('red', `${all}, ${failed} failed`)
}

function junitOf(file: string, { results }: TestReport): string {
  // Its types describe an ES module, and Node is given its CommonJS one.
  const builder = (junit as unknown as Builder).newBuilder()
  const suite = builder.testSuite().name(file)
  for (const { title, place, failure } of results) {
    const row = suite.testCase().className(file).name(title).file(place)
    if (failure !== null) row.failure(failure)
  }
  return builder.build()
}
