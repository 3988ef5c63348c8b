/** The end of a connection, on one whose other side is played by hand; over real sockets it is in `server.test.ts` and the table of HTTP. */

import { Duplex } from 'node:stream'
import { afterEach, expect, test, vi } from 'vitest'
import { LINGER_MS, linger } from './linger.ts'

afterEach(() => void vi.useRealTimers())

/** Takes what is written when it is told to. */
function slowReader() {
  const taken: string[] = []
  let take = (): void => undefined
  const socket = new Duplex({
    allowHalfOpen: true,
    read() {},
    write(chunk, _encoding, done) {
      take = () => {
        taken.push(String(chunk))
        done()
      }
    },
  })
  return { socket, taken, take: () => take() }
}

test('[FR-053] who reads slowly gets all of the last answer, and is then waited for', async () => {
  vi.useFakeTimers()
  const { socket, taken, take } = slowReader()
  linger(socket, 'the answer')
  await vi.advanceTimersByTimeAsync(100 * LINGER_MS)
  expect(socket.destroyed).toBe(false)
  take()
  await vi.advanceTimersByTimeAsync(LINGER_MS - 1)
  expect([taken, socket.destroyed]).toEqual([['the answer'], false])
  await vi.advanceTimersByTimeAsync(1)
  expect(socket.destroyed).toBe(true)
})

test('[FR-053] who hangs up is not waited for, and still gets what was on its way', async () => {
  vi.useFakeTimers()
  const { socket, taken, take } = slowReader()
  linger(socket, 'the answer')
  socket.push('more')
  socket.push(null)
  await vi.advanceTimersByTimeAsync(1)
  expect(socket.destroyed).toBe(false)
  take()
  await vi.advanceTimersByTimeAsync(1)
  expect([taken, socket.destroyed]).toEqual([['the answer'], true])
})

test('[FR-053] it ends once: what follows is not written, and an end that is over is left alone', async () => {
  const { socket, taken, take } = slowReader()
  linger(socket, 'the answer')
  linger(socket, 'another')
  take()
  socket.destroy()
  linger(socket, 'a third')
  expect(taken).toEqual(['the answer'])
})
