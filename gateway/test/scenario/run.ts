/** Runs the scenario table against a gateway, whatever runtime it stands on, and compares both ends of each exchange. */

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import type { HeaderList } from '../../model.ts'
import type { People } from './people.ts'
import { type Runner, SCENARIOS, type Scenario } from './table.ts'

/** What one exchange came to. `upstream` is the head the upstream saw, null when it saw none. */
export interface Observed {
  readonly status: number
  readonly body: string
  readonly upstream: { readonly method: string; readonly target: string; readonly headers: HeaderList } | null
}

export interface Exchange {
  readonly method: string
  readonly target: string
  readonly headers: HeaderList
  readonly body: string | null
}

export interface Runtime {
  readonly people: People
  send(exchange: Exchange): Promise<Observed>
}

/** One test per row that this runner can be asked. */
export function runScenarios(runner: Runner, runtime: () => Runtime): void {
  for (const scenario of SCENARIOS) {
    if (scenario.except?.[runner] !== undefined) continue
    test(`[FR-026] ${runner}: ${scenario.title}`, async () => {
      const { people, send } = runtime()
      const observed = await send(exchangeOf(scenario, people))
      compare(scenario, people, observed)
    })
  }
}

function exchangeOf(scenario: Scenario, people: People): Exchange {
  const person = scenario.as === undefined || scenario.as === 'nobody' ? null : people[scenario.as]
  const headers = [...(scenario.headers ?? [])]
  if (person !== null) headers.push('Authorization', `Bearer ${person.token}`)
  const body = scenario.body ?? null
  return { method: scenario.method ?? 'GET', target: scenario.target.replace('{id}', person?.id ?? ''), headers, body }
}

function compare(scenario: Scenario, people: People, observed: Observed): void {
  if (scenario.expect !== 'forward') {
    expect(observed.status, observed.body).toBe(scenario.expect)
    expect(JSON.parse(observed.body).code).toBe(scenario.code)
    expect(observed.upstream, 'nothing of a refused request reaches the upstream').toBeNull()
    return
  }
  expect(observed.status, observed.body).toBe(200)
  const seen = observed.upstream
  if (seen === null) throw new Error('the upstream saw no request')
  const person = scenario.as === undefined || scenario.as === 'nobody' ? null : people[scenario.as]
  for (const [name, wanted] of Object.entries(scenario.upstream ?? {})) {
    const expected = wanted?.replace('{id}', person?.id ?? '').replace('{email}', person?.email ?? '')
    expect(valuesOf(seen.headers, name), name).toEqual(expected === undefined ? [] : [expected])
  }
  if (scenario.never !== undefined) expect(JSON.stringify(seen)).not.toContain(scenario.never)
}

function valuesOf(headers: HeaderList, name: string): string[] {
  return headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === name)
}

/** An upstream that answers every request with 200 and the head it saw; over HTTP so that each runtime forwards for real. */
export async function startEcho(): Promise<{
  url: string
  server: Server
  lastSeen(): Observed['upstream']
  forget(): void
}> {
  let seen: Observed['upstream'] = null
  const server = createServer((request, response) => {
    seen = { method: request.method ?? '', target: request.url ?? '', headers: request.rawHeaders }
    request.resume().on('end', () => response.end('seen'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, server, lastSeen: () => seen, forget: () => (seen = null) }
}
