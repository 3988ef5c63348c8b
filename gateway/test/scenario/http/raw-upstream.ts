/** An upstream made of bytes: keeps exactly what came in, request by request, and answers with exactly what a row wrote down. */

import { type AddressInfo, createServer, type Socket } from 'node:net'
import { until } from '../../support/until.ts'
import { type Message, readRequest } from './messages.ts'
import type { AnswerScript, UpstreamStep } from './table.ts'

/** What reached the upstream on one connection. */
interface Connection {
  readonly socket: Socket
  bytes: string
  readonly requests: Message[]
  isOver: boolean
  /** It carried more than probes. */
  isAsked: boolean
}

export interface RawUpstream {
  readonly url: string
  /** `/wire/b` gets the second answer, `/wire/c` the third, and all else the first. `hasClient`: has the client of the row received it? */
  play(answers: readonly AnswerScript[], hasClient: (text: string) => boolean): void
  /** Whole requests since `play`, those of the probe left out. */
  requests(): readonly Message[]
  /** What came of requests that are not whole. */
  partial(): string
  /** Every byte since `play`, of the probes too. */
  received(): string
  /** Connections that carried more than probes since `play` and are still open. */
  openCount(): number
  close(): void
}

/** Asked behind each row, and answered whatever the row's script says. */
export const PROBE = '/wire/probe'
const PROBED = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nprobed'

export async function startRawUpstream(): Promise<RawUpstream> {
  let connections: Connection[] = []
  let script: readonly AnswerScript[] = []
  let hasClient: (text: string) => boolean = () => true
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const connection: Connection = { socket, bytes: '', requests: [], isOver: false, isAsked: false }
    /** The head in front is being answered already, though its body is not whole yet. */
    let isAnswering = false
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('end', () => {
      connection.isOver = true
      socket.end()
    })
    socket.on('close', () => {
      connection.isOver = true
      sockets.delete(socket)
    })
    socket.on('data', (chunk) => {
      if (!connections.includes(connection)) connections.push(connection)
      connection.bytes += chunk.toString('latin1')
      for (;;) {
        if (!isAnswering && connection.bytes.includes('\r\n\r\n')) {
          isAnswering = true
          answer(connection)
        }
        const read = readRequest(connection.bytes)
        if (read === null) return
        connection.bytes = connection.bytes.slice(read.length)
        connection.requests.push(read.message)
        isAnswering = false
      }
    })
  })

  function answer(connection: Connection): void {
    const before = connection.requests.length
    const [, target = ''] = connection.bytes.split(' ')
    connection.isAsked ||= target !== PROBE
    const at = Math.max(0, ['/wire/a', '/wire/b', '/wire/c'].indexOf(target))
    const given = target === PROBE ? PROBED : script[Math.min(at, script.length - 1)]!
    const steps: readonly UpstreamStep[] = typeof given === 'string' ? ['whole', given] : given
    void perform(connection, steps, () => connection.requests.length > before).catch(() => connection.socket.destroy())
  }

  async function perform(
    { socket }: Connection,
    steps: readonly UpstreamStep[],
    isWhole: () => boolean,
  ): Promise<void> {
    const asked = hasClient
    for (const step of steps) {
      if (step === 'whole') await until(isWhole, 'a whole request at the upstream')
      else if (step === 'close') socket.end()
      else if (step === 'reset') socket.resetAndDestroy()
      else if (typeof step === 'string') socket.write(Buffer.from(step, 'latin1'))
      else if ('client' in step) await until(() => asked(step.client), `${JSON.stringify(step.client)} at the client`)
      else
        for (const byte of step.drip) await new Promise((resolve) => socket.write(Buffer.from(byte, 'latin1'), resolve))
    }
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const isProbe = ({ start }: Message) => start.startsWith(`GET ${PROBE} `)
  return {
    url: `http://127.0.0.1:${port}`,
    play(answers, has) {
      connections = connections.filter(({ isOver }) => !isOver)
      for (const connection of connections) {
        connection.requests.length = 0
        connection.bytes = ''
        connection.isAsked = false
      }
      script = answers
      hasClient = has
    },
    requests: () => connections.flatMap(({ requests }) => requests).filter((request) => !isProbe(request)),
    partial: () => connections.map(({ bytes }) => bytes).join(''),
    received: () => connections.map(({ requests, bytes }) => requests.map(({ raw }) => raw).join('') + bytes).join(''),
    openCount: () => connections.filter(({ isOver, isAsked }) => isAsked && !isOver).length,
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
