/** Answers of our own as bytes, for sockets that have no ServerResponse. The connection always ends with them. */

import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { OwnAnswer } from '../model.ts'
import { linger } from './linger.ts'

/** Answers, and ends the connection. */
export function endWith(socket: Duplex, own: OwnAnswer): void {
  linger(socket, rawAnswer(own))
}

function rawAnswer(own: OwnAnswer): string {
  let head = `HTTP/1.1 ${own.status} ${STATUS_CODES[own.status] ?? 'Unknown'}\r\n`
  for (let at = 0; at < own.headers.length; at += 2) head += `${own.headers[at]}: ${own.headers[at + 1]}\r\n`
  return `${head}Date: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n${own.body}`
}
