/** contracts/http-api.md is replayed on a running demo: each request as it stands there gets the answer that stands there. */

import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { OPEN } from '../../identity-provider/paths.ts'
import { PROBLEMS } from '../../problem/catalogue.ts'
import { isOwnPath } from '../../snapshot.ts'
import { type Demo, startDemo } from '../support/demo.ts'
import { fences, ROOT, read, SPECS, tableUnder } from './documents.ts'
import { type Captured, differences, parseExchanges, send } from './exchange.ts'

const AUTHORITY = 'localhost:8080'
const page = read(`${SPECS}/contracts/http-api.md`)
const captured: Captured = new Map()
let demo: Demo

beforeAll(async () => {
  demo = await startDemo()
}, 90_000)

afterAll(() => demo?.stop())

/** The text as it reads for the port the demo has. */
const here = (text: string) => text.replaceAll(AUTHORITY, `localhost:${demo.port}`)

// Titles are needed before the demo runs, the texts only after: the order of both is the page's.
for (const [i, { title }] of parseExchanges(page).entries()) {
  test(`[FR-027] ${title}`, async () => {
    const { request, response } = parseExchanges(here(page))[i]!
    const answer = await send(`http://localhost:${demo.port}`, request, captured)
    expect(differences(response, answer, captured)).toEqual([])
  })
}

test('[FR-008] the code that verifies an assertion does: the real one passes, forged and misdirected ones do not', async () => {
  const email = 'assertion@example.com'
  const headers = { 'content-type': 'application/json', origin: demo.origin }
  const body = JSON.stringify({ name: 'Eve', email, password: 'correct horse battery' })
  const signedUp = await fetch(`${demo.origin}/api/auth/sign-up/email`, { method: 'POST', headers, body })
  const { user } = (await signedUp.json()) as { user: { id: string } }
  const cookie = signedUp.headers.getSetCookie()[0]!.split(';')[0]!
  const told = await fetch(`${demo.origin}/api/whoami`, { headers: { cookie } })
  const fields = new Map(((await told.json()) as { headers: [string, string][] }).headers)
  const assertion = fields.get('X-Postern-Assertion')!
  const token = await fetch(`${demo.origin}/api/auth/token`, { headers: { cookie } })
  const { token: jwt } = (await token.json()) as { token: string }

  const { callerOf } = await snippet()
  expect(await callerOf({ 'x-postern-assertion': assertion })).toBe(user.id)
  const [head, payload, signature] = assertion.split('.')
  const forged = Buffer.from(payload!, 'base64url').toString().replace(user.id, 'somebody')
  for (const bad of ['', jwt, `${head}.${Buffer.from(forged).toString('base64url')}.${signature}`]) {
    await expect(callerOf({ 'x-postern-assertion': bad })).rejects.toThrow()
  }
  const elsewhere = await snippet((text) => text.replace("audience: 'books'", "audience: 'another'"))
  await expect(elsewhere.callerOf({ 'x-postern-assertion': assertion })).rejects.toThrow(/aud/)
})

type CallerOf = (headers: Record<string, string | undefined>) => Promise<string | undefined>

/** The page's own code, run as it stands. */
async function snippet(change: (text: string) => string = (text) => text): Promise<{ callerOf: CallerOf }> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-snippet-'))
  try {
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    writeFileSync(join(folder, 'assertion.ts'), change(here(fences(page, 'ts')[0]!)))
    return (await import(/* @vite-ignore */ pathToFileURL(join(folder, 'assertion.ts')).href)) as { callerOf: CallerOf }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('[FR-021] the table of Better Auth paths is the table of doors', () => {
  const rows = tableUnder(page, "### Better Auth's paths").map(([path, door]) => [path, door])
  expect(rows.toSorted()).toEqual([...OPEN].toSorted())
})

test('[FR-002] every path of the table of own paths is reserved, and every page of a problem is there', async () => {
  for (const [paths] of tableUnder(page, '## Paths of the gateway')) {
    for (const path of paths!.split(', ')) expect(isOwnPath(path), path).toBe(true)
  }
  for (const code of Object.keys(PROBLEMS)) {
    expect((await fetch(`${demo.origin}/_postern/problems/${code}`)).status, code).toBe(200)
  }
})
