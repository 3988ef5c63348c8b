/** Every command of quickstart.md is run as it stands, in order, and prints what the page shows. */

import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Demo, startDemo } from '../support/demo.ts'
import { read, SPECS } from './documents.ts'

interface Step {
  readonly commands: string
  /** What they print, or null where the page does not say. */
  readonly shown: string | null
}

const START = 'npm start\n'
const steps = stepsOf(read(`${SPECS}/quickstart.md`))
let demo: Demo
let printed: string[] = []

function stepsOf(markdown: string): Step[] {
  const found: { commands: string; shown: string | null }[] = []
  for (const [, language, body] of markdown.matchAll(/^```(sh|text)\n([\s\S]*?)^```$/gm)) {
    if (language === 'sh') found.push({ commands: body!, shown: null })
    else found.at(-1)!.shown = body!
  }
  return found
}

beforeAll(async () => {
  demo = await startDemo()
  // One shell for all: what an earlier command leaves in a variable or a file, a later one uses.
  const script = steps
    .filter(({ commands }) => commands !== START)
    .map(({ commands }) => commands.replaceAll('localhost:8080', `localhost:${demo.port}`))
    .join("printf '\\f'\n")
  printed = execFileSync('bash', ['-e', '-c', script], { cwd: demo.folder, encoding: 'utf8' }).split('\f')
}, 120_000)

afterAll(() => demo?.stop())

test('[FR-001] the first command is the one that starts it all', () => {
  expect(steps[0]).toEqual({ commands: START, shown: null })
  expect(steps.length).toBeGreaterThan(6)
})

for (const [i, { commands, shown }] of steps.slice(1).entries()) {
  test(`[FR-024] ${commands.trim().split('\n').at(-1)!.trim()}`, () => {
    expect(printed).toHaveLength(steps.length - 1)
    if (shown !== null) expect(printed[i]).toBe(shown)
  })
}

test('[FR-001] Ctrl-C through npm ends all of it', async () => {
  await demo.stop()
  await expect(fetch(`${demo.origin}/_postern/healthz`)).rejects.toThrow()
})
