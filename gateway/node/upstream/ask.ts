/** One GET to a server of an upstream, reached as relays reach it: for commands that look at it from here. */

import { hostOf } from '../../http/authority.ts'
import type { HeaderList } from '../../model.ts'
import type { Upstream } from '../../rules.ts'
import { openTransport } from './open-transport.ts'

export interface ServerAnswer {
  readonly status: number
  readonly headers: HeaderList
  /** Its beginning. */
  readonly body: string
}

export interface Question {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  /** No more of the body is read. */
  readonly bytesMax: number
}

export async function askServer(upstream: Upstream, origin: string, question: Question): Promise<ServerAnswer> {
  const { path, timeoutMs, bytesMax } = question
  const transport = openTransport(upstream, origin, { connectMs: timeoutMs, lookup: null, isClientOurs: true })
  const headers = ['Host', hostOf(origin), ...Object.entries(question.headers).flat()]
  let timer: NodeJS.Timeout | undefined
  try {
    return await new Promise<ServerAnswer>((resolve, reject) => {
      let [status, lines, body]: [number, HeaderList, string] = [0, [], '']
      const request = { method: 'GET', path, headers, bodyBytes: 0 }
      const call = transport.send(request, {
        onConnected: ignore,
        onInterim: ignore,
        onWritable: ignore,
        onHead(given, fields) {
          status = given
          lines = fields
        },
        onData(chunk) {
          body += chunk.toString('utf8')
          if (body.length < bytesMax) return
          call.abort()
          resolve({ status, headers: lines, body })
        },
        onEnd: () => resolve({ status, headers: lines, body }),
        onFailure: reject,
      })
      timer = setTimeout(() => {
        call.abort()
        reject(Object.assign(new Error(`no answer for ${timeoutMs} ms`), { code: 'ETIMEDOUT' }))
      }, timeoutMs)
    })
  } finally {
    clearTimeout(timer)
    await transport.destroy()
  }
}

function ignore(): void {}
