/** What a worker writes, passed on in whole lines: several processes on one pipe would cut into each other's. */

import type { Readable } from 'node:stream'

const NEWLINE = 0x0a
/** A line longer than this is passed on in pieces. */
const LINE_BYTES_MAX = 1024 * 1024

export function passLines(from: Readable, write: (lines: string) => void): void {
  let held: Buffer[] = []
  let heldBytes = 0
  const pass = (last: Buffer) => {
    write(Buffer.concat([...held, last]).toString('utf8'))
    held = []
    heldBytes = 0
  }
  from.on('data', (chunk: Buffer) => {
    const end = chunk.lastIndexOf(NEWLINE) + 1
    if (end > 0) pass(chunk.subarray(0, end))
    if (end === chunk.length) return
    held.push(chunk.subarray(end))
    heldBytes += chunk.length - end
    if (heldBytes > LINE_BYTES_MAX) pass(Buffer.alloc(0))
  })
  from.on('end', () => {
    if (heldBytes > 0) pass(Buffer.from('\n'))
  })
  // It goes with the worker, whose exit is heard of by itself.
  from.on('error', () => {})
}
