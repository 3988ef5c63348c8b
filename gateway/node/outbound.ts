/**
 * Requests of our own, to addresses that the policy names: no redirect is followed, no proxy or cookie comes in, and time and
 * bytes are bounded from the first packet to the last (SECURITY rule 25).
 */

import { Agent, request } from 'undici'
import type { Outbound } from '../ports.ts'

export interface NodeOutbound extends Outbound {
  close(): Promise<void>
}

/** Per origin; the others wait, within their own time. */
const CONNECTIONS_MAX = 32
const HEADER_BYTES_MAX = 16_384

export function nodeOutbound(): NodeOutbound {
  const agent = new Agent({
    connections: CONNECTIONS_MAX,
    pipelining: 1,
    allowH2: false,
    maxHeaderSize: HEADER_BYTES_MAX,
  })
  return {
    async send({ method, url, headers, body, timeoutMs, bytesMax }) {
      const signal = AbortSignal.timeout(Math.ceil(timeoutMs))
      // Unsaid, any coding would do (RFC 9110 §12.5.3).
      const fields = { ...headers, 'accept-encoding': 'identity' }
      const answer = await request(url, { dispatcher: agent, method, headers: fields, body, signal }).catch(explain)
      try {
        if (answer.headers['content-encoding'] !== undefined) throw new Error('its answer is compressed, unasked')
        const chunks: Uint8Array[] = []
        let bytes = 0
        for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
          bytes += chunk.byteLength
          if (bytes > bytesMax) throw new Error(`its answer is longer than ${bytesMax} bytes`)
          chunks.push(chunk)
        }
        return { status: answer.statusCode, body: new TextDecoder().decode(Buffer.concat(chunks)) }
      } catch (error) {
        answer.body.on('error', () => {}).destroy()
        return explain(error)
      }
    },
    close: () => agent.destroy(),
  }
}

/** A connection that failed says why in its code; the message of an abort says nothing. */
function explain(error: unknown): never {
  if (error instanceof Error && error.name === 'TimeoutError') throw new Error('it did not answer in time')
  const code = error instanceof Error && 'code' in error ? error.code : null
  throw typeof code === 'string' && (error as Error).message === '' ? new Error(code) : error
}
