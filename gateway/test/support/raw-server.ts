/** A server made of bytes: a test says what each connection hears and says. */

import { type AddressInfo, createServer, type Socket } from 'node:net'

export interface RawServer {
  readonly port: number
  readonly url: string
  /** In the order of coming, closed ones too. */
  readonly connections: readonly RawConnection[]
  close(): Promise<void>
}

export interface RawConnection {
  readonly socket: Socket
  /** Everything received so far, each byte one character. */
  received(): string
  isClosed(): boolean
  send(bytes: string): void
}

/** `onData` is called with everything that the connection has received, whenever more has come. */
export async function startRawServer(
  onData: (connection: RawConnection, received: string) => void = () => {},
): Promise<RawServer> {
  const connections: RawConnection[] = []
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    let received = ''
    let isClosed = false
    const connection: RawConnection = {
      socket,
      received: () => received,
      isClosed: () => isClosed,
      send: (bytes) => void socket.write(bytes, 'latin1'),
    }
    connections.push(connection)
    const gone = () => {
      isClosed = true
    }
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
      onData(connection, received)
    })
    socket.on('error', gone).on('end', gone).on('close', gone)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    connections,
    async close() {
      for (const { socket } of connections) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
