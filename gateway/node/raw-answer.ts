/** Answers of our own as bytes, for sockets that have no ServerResponse. The connection always ends with them. */

import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { OwnAnswer } from '../model.ts'

export function rawAnswer(own: OwnAnswer): string {
  let head = `HTTP/1.1 ${own.status} ${STATUS_CODES[own.status] ?? 'Unknown'}\r\n`
  for (let at = 0; at < own.headers.length; at += 2) head += `${own.headers[at]}: ${own.headers[at + 1]}\r\n`
  return `${head}Date: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n${own.body}`
}

/** How long a client may take to hang up after its answer. */
const LINGER_MS = 2_000

/** Answers and closes. What the client still sends is read and dropped for a while: a reset would discard the answer. */
export function endWith(socket: Duplex, own: OwnAnswer): void {
  if (socket.destroyed || !socket.writable) return void socket.destroy()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
  socket.once('close', () => clearTimeout(timer))
  socket.once('end', () => socket.destroy())
  socket.end(rawAnswer(own))
  socket.resume()
}
