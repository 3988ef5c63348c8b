/** The scenario table on Node: the real gateway, real sessions and tokens, and a real upstream. */

import { afterAll, beforeAll } from 'vitest'
import { ROLES } from '../scenario/people.ts'
import { type Runtime, runScenarios, startEcho } from '../scenario/run.ts'
import { SCENARIO_POLICY } from '../scenario/table.ts'
import { signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { isWhole, parseAnswer, rawClient } from '../support/raw.ts'

let echo: Awaited<ReturnType<typeof startEcho>>
let gateway: TestGateway
let runtime: Runtime

beforeAll(async () => {
  echo = await startEcho()
  gateway = await startTestGateway({ policy: SCENARIO_POLICY, upstreamUrl: echo.url })
  const people = {
    reader: await signIn(gateway, 'reader@example.com', ROLES.reader),
    admin: await signIn(gateway, 'admin@example.com', ROLES.admin),
  }
  runtime = {
    people,
    async send({ method, target, headers, body }) {
      echo.forget()
      const lines = [...headers]
      if (!headers.some((text, at) => at % 2 === 0 && text.toLowerCase() === 'host')) {
        lines.unshift('Host', new URL(gateway.origin).host)
      }
      if (body !== null) lines.push('Content-Length', String(body.length))
      let head = `${method} ${target} HTTP/1.1\r\n`
      for (let at = 0; at < lines.length; at += 2) head += `${lines[at]}: ${lines[at + 1]}\r\n`
      const client = await rawClient(gateway.url)
      client.send(`${head}\r\n${body ?? ''}`)
      const answer = parseAnswer(await client.until(isWhole))
      client.close()
      return { status: answer.status, body: answer.body, upstream: echo.lastSeen() }
    },
  }
})

afterAll(async () => {
  await gateway?.close()
  echo?.server.close()
})

runScenarios('node', () => runtime)
