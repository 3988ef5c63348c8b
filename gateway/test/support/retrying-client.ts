/**
 * A client with a pool of kept connections that does what browsers and pools do: an idempotent request whose connection ended
 * before a byte of its answer is sent again (RFC 9110 §9.2.2). Anything else that goes wrong is a failure.
 */

import { Agent, request } from 'node:http'

export interface RetryingClient {
  /** Status and body. Rejects when it failed for good. */
  get(path: string): Promise<{ readonly status: number; readonly body: string }>
  /** Requests that were sent again. */
  readonly retries: number
  close(): void
}

const TRIES_MAX = 3
const UNSEEN: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE'])

export function retryingClient(
  url: string,
  connections: number,
  headers: Readonly<Record<string, string>> = {},
): RetryingClient {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const { hostname, port } = new URL(url)
  let retries = 0

  function once(path: string): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      let isSeen = false
      const sent = request({ agent, hostname, port, path, headers }, (response) => {
        isSeen = true
        let body = ''
        response.setEncoding('latin1')
        response.on('data', (text: string) => {
          body += text
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
        response.on('error', (error) => reject(error))
      })
      sent.on('error', (error: NodeJS.ErrnoException) => {
        reject(!isSeen && UNSEEN.has(error.code ?? '') ? UNANSWERED : error)
      })
      sent.end()
    })
  }

  return {
    async get(path) {
      for (let tries = 1; ; tries++) {
        try {
          return await once(path)
        } catch (error) {
          if (error !== UNANSWERED || tries === TRIES_MAX) throw error
          retries++
        }
      }
    },
    get retries() {
      return retries
    },
    close: () => agent.destroy(),
  }
}

const UNANSWERED = new Error('the connection ended before a byte of the answer')
