/** Asks the rows of the table over HTTP/2: each request is a stream, all of them on one connection. */

import type { Http2Client } from '../../support/http2.ts'
import type { Answer } from './messages.ts'
import type { Conversation } from './run.ts'
import type { Asked } from './table.ts'

export async function converseOverHttp2(
  client: Http2Client,
  authority: string,
  asked: readonly Asked[],
): Promise<Conversation> {
  const answers = await Promise.all(
    asked.map(async ({ method = 'GET', target = '/wire/a', fields = [], body }) => {
      const lines = fields.flatMap((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 2),
      ])
      if (typeof body === 'string') lines.push('content-length', String(body.length))
      const pseudo = [':method', method, ':scheme', 'https', ':authority', authority, ':path', target]
      const { stream, answer } = client.open([...pseudo, ...lines])
      for (const chunk of Array.isArray(body) ? body : []) stream.write(Buffer.from(chunk, 'latin1'))
      stream.end(typeof body === 'string' ? Buffer.from(body, 'latin1') : undefined)
      return answer
    }),
  )
  const isWhole = answers.every((answer) => answer.isWhole)
  return {
    answers: answers.map(
      ({ status, lines, interims, body, trailers }): Answer => ({
        start: `HTTP/2 ${status}`,
        status,
        fields: joined(lines),
        interims: interims.map((interim) => ({ ...NOTHING, start: `HTTP/2 ${interim}` })),
        body,
        trailers: joined(trailers),
        raw: `${status} ${JSON.stringify(lines)} ${body}`,
      }),
    ),
    end: isWhole ? 'open' : 'torn',
    text: JSON.stringify(answers),
  }
}

const NOTHING = { fields: [], body: '', trailers: [], raw: '' } as const

function joined(lines: readonly string[]): string[] {
  return lines.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${lines[at + 1]}`] : []))
}
