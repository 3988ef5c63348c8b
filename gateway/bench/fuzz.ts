/**
 * `npm run fuzz -- <requests|responses> <seconds> [--seed N]`: bytes that two parsers could read in two ways, against the parser
 * of Node as the judge. Each case has a seed of its own, the first one N: what a finding prints is what repeats it.
 */

import { parseArgs } from 'node:util'
import type { Fuzz } from './fuzz/case.ts'

const PARTS = ['requests', 'responses']
const USAGE = `usage: npm run fuzz -- <${PARTS.join('|')}> <seconds> [--seed N]`

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seed: { type: 'string' } } })
const [part = '', seconds = ''] = positionals
const seed = Number(values.seed ?? Date.now() % 1_000_000_000)

if (!PARTS.includes(part) || !(Number(seconds) > 0) || !Number.isSafeInteger(seed)) {
  print(USAGE)
  process.exitCode = 2
} else {
  const { fuzz } = (await import(`./fuzz/${part}.ts`)) as { fuzz: Fuzz }
  print(`${part}: ${seconds} s from seed ${seed}, Node ${process.version}, llhttp ${process.versions['llhttp']}`)
  const findings = await fuzz({ seed, seconds: Number(seconds), print })
  for (const finding of findings) print(finding)
  print(findings.length === 0 ? 'no finding' : `${findings.length} findings`)
  process.exitCode = findings.length === 0 ? 0 : 1
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
