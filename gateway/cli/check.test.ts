/** `postern check` as CI runs it: what it prints, and with which code it ends. */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { command, commandAlone, MAIN } from '../test/support/command.ts'

const GOOD = `version: 1
origin: http://localhost:8080
upstreams: { web: "http://127.0.0.1:9000" }
routes: { /**: { to: web, access: login } }
`
const folder = mkdtempSync(join(tmpdir(), 'postern-check-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const env = { PATH: process.env.PATH, NO_COLOR: '1' }

function check(text: string | null, ...options: readonly string[]) {
  return run(command, text, options)
}

function run(how: typeof command, text: string | null, options: readonly string[]) {
  const file = join(folder, text === null ? 'nowhere.yaml' : 'gateway.yaml')
  if (text !== null) writeFileSync(file, text)
  return how(['check', file, ...options], { env })
}

test('[FR-045] a good file is ok, and the code is 0', async () => {
  const { status, stdout } = await run(commandAlone, GOOD, [])
  expect(stdout).toContain('ok, 1 route to 1 upstream')
  expect(status).toBe(0)
})

test('[FR-045] each mistake is printed with its line and its cure, and the code is 1', async () => {
  const { status, stdout } = await run(commandAlone, GOOD.replace('to: web', 'to: wep'), [])
  expect(stdout).toContain('gateway.yaml:4:22  there is no upstream `wep`')
  expect(stdout).toContain('cure: did you mean `web`?')
  expect(stdout).toContain('1 mistake')
  expect(status).toBe(1)
})

test('[FR-045] --json prints what a machine can read, and nothing else', async () => {
  const { status, stdout } = await check(`${GOOD}login: { singup: open }\n`, '--json')
  expect(JSON.parse(stdout)).toEqual([
    {
      file: join(folder, 'gateway.yaml'),
      line: 5,
      column: 10,
      length: 6,
      path: 'login.singup',
      message: 'unknown key `singup`',
      cure: 'did you mean `signup`?',
      severity: 'error',
    },
  ])
  expect(status).toBe(1)
  expect(JSON.parse((await check(GOOD, '--json')).stdout)).toEqual([])
})

test('[FR-045] a warning is no mistake unless it is asked to be one', async () => {
  const unwise = GOOD.replace('localhost', 'books.example.com')
  const { status, stdout } = await check(unwise)
  expect(stdout).toContain('warning: passwords and sessions travel in the clear')
  expect(status).toBe(0)
  expect((await check(unwise, '--warnings-as-errors')).status).toBe(1)
  expect(JSON.parse((await check(unwise, '--json')).stdout)).toMatchObject([{ severity: 'warning' }])
})

test('[FR-045] warnings that are alike are told once, with their lines; --json has each', async () => {
  const scope = 'access: { with: token, scope: books:write }'
  const text = GOOD.replace(
    '{ /**: { to: web, access: login } }',
    `\n  /a: { to: web, ${scope} }\n  /b: { to: web, ${scope} }\n  /c: { to: web, ${scope} }`,
  )
  const { stdout } = await check(text)
  expect(stdout.match(/is never met/g)).toHaveLength(1)
  expect(stdout).toContain('\n  and 2 more like it: lines 6, 7\n')
  expect(stdout).toContain('3 warnings')
  expect(JSON.parse((await check(text, '--json')).stdout)).toHaveLength(3)
})

test('[FR-045] of a long line the part is shown that the mistake is in', async () => {
  const roles = Array.from({ length: 40 }, (_, at) => `role-${at}`).join(', ')
  const { stdout } = await check(GOOD.replace('access: login', `access: { role: [${roles}], scop: x, scope: y }`))
  const [, line, carets] = /^ +4 \| (.*)\n +\| (.*)$/m.exec(stdout)!
  expect(line!.startsWith('...')).toBe(true)
  expect(line!.slice(carets!.indexOf('^'), carets!.length)).toBe('scop')
})

test('[FR-052] without a name it is config/gateway.yaml, and gateway.yaml where there is none', async () => {
  const here = mkdtempSync(join(folder, 'here-'))
  const ask = () => command(['check'], { cwd: here, env })
  expect((await ask()).stderr).toContain('config/gateway.yaml')
  writeFileSync(join(here, 'gateway.yaml'), GOOD)
  expect((await ask()).stdout).toMatch(/^gateway\.yaml: ok/)
  mkdirSync(join(here, 'config'))
  writeFileSync(join(here, 'config/gateway.yaml'), GOOD)
  expect((await ask()).stdout).toMatch(/^config\/gateway\.yaml: ok/)
})

test('[FR-045] a variable that is unset is a mistake, except with --allow-unset', async () => {
  const text = `${GOOD}store: { secret: "\${env:POSTERN_SECRET}" }\n`
  expect(await check(text)).toMatchObject({ status: 1, stdout: expect.stringContaining('POSTERN_SECRET is not set') })
  const allowed = await check(text, '--allow-unset')
  expect(allowed.stdout).toContain('not set here, and stood in for: POSTERN_SECRET')
  expect(allowed.status).toBe(0)
})

test('[FR-045] included files are read from the folder of the main one, and named in what is wrong with them', async () => {
  mkdirSync(join(folder, 'routes'), { recursive: true })
  writeFileSync(join(folder, 'routes/books.yaml'), 'routes:\n  /books: { to: web, acces: public }\n')
  const { status, stdout } = await check(`${GOOD}include: [routes/*.yaml]\n`)
  expect(stdout).toContain(`${join(folder, 'routes/books.yaml')}:2:22  unknown key`)
  expect(status).toBe(1)
})

test('[FR-045] a file that is not there, or an option that is not one, is a wrong use: the code is 2', async () => {
  expect(await check(null)).toMatchObject({ status: 2, stderr: expect.stringContaining('there is no such file') })
  expect((await check(GOOD, '--jsno')).status).toBe(2)
})

test('[FR-052] who reads the first line only gets it, and no stack trace', () => {
  const file = join(folder, 'many.yaml')
  const routes = Array.from({ length: 3000 }, (_, at) => `  /r${at}: { to: web, access: login }`).join('\n')
  writeFileSync(file, GOOD.replace(/routes: .*/, `routes:\n${routes}`))
  const { stdout, stderr } = spawnSync(
    'sh',
    ['-c', '"$0" "$1" routes "$2" | head -n 1', process.execPath, MAIN, file],
    {
      encoding: 'utf8',
      env,
    },
  )
  expect(stdout).toMatch(/^pattern .*\n$/)
  expect(stderr).toBe('')
})

test('[FR-052] a file that is not there, and a report that cannot be written, are told in one line', async () => {
  const file = join(folder, 'good.yaml')
  writeFileSync(file, GOOD)
  const lost = join(folder, 'nowhere/new.yaml')
  const commands = [
    ['test', join(folder, 'nowhere.yaml')],
    ['routes', folder],
    ['explain', 'GET', '/', '--config', join(folder, 'nowhere.yaml')],
    ['test', file, '--junit', lost],
    ['init', lost, '--upstream', 'http://127.0.0.1:9000'],
    ['init', join(folder, 'x.yaml'), '--upstream', 'http://127.0.0.1:9000\nlogin: {}'],
  ]
  for (const words of commands) {
    const { status, stderr } = await command(words)
    expect(stderr).toMatch(/^postern: .*\.\n$/)
    expect(status).toBe(2)
  }
})
