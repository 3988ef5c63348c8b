/** The newcomer's hour of config/README.md: each command is run as it stands there, and prints what stands below it. */

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT, read, sectionOf } from './documents.ts'

interface Step {
  /** `console`: commands and what they print. `diff`: what the newcomer changes in gateway.yaml. */
  readonly kind: string
  readonly text: string
}

const steps = [...sectionOf(read('config/README.md'), "## A newcomer's hour").matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(
  ([, kind, text]): Step => ({ kind: kind!, text: text! }),
)

test('[FR-047, FR-049] the newcomer’s hour goes as it is written', () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-hour-'))
  try {
    cpSync(join(ROOT, 'config/hour'), folder, { recursive: true })
    mkdirSync(join(folder, 'bin'))
    symlinkSync(join(ROOT, 'gateway/cli/postern.mjs'), join(folder, 'bin/postern'))
    expect(steps.map(({ kind }) => kind)).toContain('console')
    for (const { kind, text } of steps) {
      if (kind === 'diff') change(join(folder, 'gateway.yaml'), text)
      if (kind === 'console') for (const [command, expected] of commandsOf(text)) runAs(folder, command, expected)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 120_000)

test('[FR-049] what it begins with has a hundred operations', () => {
  const operations = read('config/hour/library.openapi.yaml').match(
    /^ {4}(?:get|put|post|patch|delete|head|options):$/gm,
  )
  expect(operations).toHaveLength(100)
})

/** `$ command`, then the lines it prints. */
function commandsOf(text: string): [string, string][] {
  return text.split(/^\$ /m).flatMap((part): [string, string][] => {
    const [command = '', ...lines] = part.split('\n')
    return command.trim() === '' ? [] : [[command, lines.join('\n').trimEnd()]]
  })
}

function runAs(folder: string, command: string, expected: string): void {
  const PATH = [join(folder, 'bin'), dirname(process.execPath), process.env.PATH].join(':')
  const ours = { NO_COLOR: '1', COLUMNS: '120', FORCE_COLOR: undefined, POSTERN_CONFIG: undefined }
  const env = { ...process.env, ...ours, PATH }
  const { stdout, stderr } = spawnSync('sh', ['-c', `${command} 2>&1`], { cwd: folder, env, encoding: 'utf8' })
  const found = `${stdout}${stderr}`
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trimEnd()
  // A line of dots stands for lines that are left out.
  if (!/^\.\.\.$/m.test(expected)) {
    expect(found, command).toBe(expected)
    return
  }
  const pieces = expected.split(/^\.\.\.$/m).map((piece) => piece.trim())
  let at = 0
  for (const [index, piece] of pieces.entries()) {
    const isLast = index === pieces.length - 1 && piece !== ''
    const next = isLast ? found.length - piece.length : found.indexOf(piece, at)
    const isThere = next >= at && found.startsWith(piece, next) && (index > 0 || next === 0)
    expect(isThere, `${command}\nprinted\n${found}\nand not\n${piece}`).toBe(true)
    at = next + piece.length
  }
}

/** Lines with `-` become those with `+`; lines with neither say where. */
function change(file: string, diff: string): void {
  const sideOf = (gone: string) =>
    diff
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith(gone))
      .map((line) => `${line.slice(1)}\n`)
      .join('')
  const text = readFileSync(file, 'utf8')
  const before = sideOf('+')
  expect(text, `gateway.yaml holds\n${before}`).toContain(before)
  writeFileSync(file, text.replace(before, sideOf('-')))
}
