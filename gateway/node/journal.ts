/** Where finished exchanges go on Node: one JSON line each on standard output, buffered; on a terminal one short line for people. */

import { pino } from 'pino'
import type { AccessRecord } from '../model.ts'
import type { AuditRecord, Journal } from '../ports.ts'
import { accessLine } from '../record/line.ts'

export interface NodeJournal extends Journal {
  /** Something an operator should know. */
  note(message: string): void
  /** What an administrator did, or was refused. */
  audit(record: AuditRecord): void
  /** Writes what is buffered, as far as somebody reads it within a second. Never rejects. */
  flush(): Promise<void>
}

export interface JsonJournal extends NodeJournal {
  /** Whole lines of another process, as they are. */
  pass(lines: string): void
}

/** A write to a file takes longer to hand over than its bytes do. */
const BUFFER_BYTES = 32 * 1024
const BATCH_BYTES = 2 * BUFFER_BYTES
const FLUSH_MS = 1_000
const LAST_FLUSH_MS = 1_000
/** Lines that wait for a reader: some seconds of full load. What comes on top of them is lost, and counted. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024

const LF = 0x0a

/** JSON lines. `fileDescriptor` is 1, standard output, unless a test reads elsewhere. */
export function jsonJournal(fileDescriptor = 1, waitingBytesMax = WAITING_BYTES_MAX): JsonJournal {
  const destination = pino.destination({
    dest: fileDescriptor,
    sync: false,
    minLength: BUFFER_BYTES,
    maxWrite: 2 * BUFFER_BYTES,
    maxLength: waitingBytesMax,
    contentMode: 'buffer',
  })
  // Its types know of text alone.
  const send = destination.write.bind(destination) as unknown as (lines: Uint8Array) => void
  // A reader that went away must not end the gateway, and one that stalls must not fill its memory.
  destination.on('error', () => {})
  let lost = 0
  destination.on('drop', (lines: Uint8Array) => {
    for (const byte of lines) if (byte === LF) lost++
  })
  /** Lines of exchanges as bytes: text put together from pieces costs more to take apart again than to write at once. */
  let batch = Buffer.allocUnsafeSlow(BATCH_BYTES)
  let batchBytes = 0
  const handOver = () => {
    if (batchBytes === 0) return
    const lines = batch.subarray(0, batchBytes)
    const isWorthKeeping = batchBytes < BATCH_BYTES / 2
    batchBytes = 0
    if (isWorthKeeping) return send(Buffer.from(lines))
    batch = Buffer.allocUnsafeSlow(BATCH_BYTES)
    send(lines)
  }
  const write = (lines: string) => {
    handOver()
    send(Buffer.from(lines))
  }
  const logger = pino({ base: null, timestamp: false, formatters: { level: (label) => ({ level: label }) } }, { write })
  destination.on('drain', () => {
    if (lost === 0) return
    const note = `${lost} lines of this log were lost, for nobody read it fast enough`
    lost = 0
    logger.warn({ at: new Date().toISOString(), note })
  })
  setInterval(() => {
    handOver()
    destination.flush()
  }, FLUSH_MS).unref()
  return {
    record: (record) => {
      const line = accessLine(record)
      const bytesMax = 3 * line.length
      if (bytesMax > BATCH_BYTES - batchBytes) handOver()
      if (bytesMax > BATCH_BYTES) return write(line)
      batchBytes += batch.write(line, batchBytes)
      if (batchBytes >= BUFFER_BYTES) handOver()
    },
    fault: (requestId, error) => logger.error({ at: new Date().toISOString(), requestId, fault: textOf(error) }),
    audit: ({ atMs, ...record }) => logger.info({ at: new Date(atMs).toISOString(), audit: record }),
    note: (message) => logger.warn({ at: new Date().toISOString(), note: message }),
    pass: write,
    async flush() {
      handOver()
      // Never the library's blocking flush: where nobody reads any more, it tries for ever.
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LAST_FLUSH_MS)
        destination.flush(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    },
  }
}

/** One line a person can read while trying things out. */
export function terminalJournal(write: (line: string) => void): NodeJournal {
  return {
    record: (record) => write(`${lineOf(record)}\n`),
    fault: (requestId, error) => write(`${requestId} ${textOf(error)}\n`),
    audit: ({ actor, action, target, outcome }) => write(`${outcome} ${action} ${target} by ${actor}\n`),
    note: (message) => write(`${message}\n`),
    async flush() {},
  }
}

function lineOf(record: AccessRecord): string {
  const time = record.at.slice(11, 19)
  const who = record.subject ?? '-'
  const why = record.reason === null ? '' : ` ${record.reason}`
  const cut = record.isAborted ? ' aborted' : ''
  const { proposed } = record
  const would = proposed === null || proposed === 'same' ? '' : ` proposal: ${proposed}`
  return `${time} ${record.status} ${record.method} ${record.path} ${who} ${record.durationMs} ms${why}${would}${cut}`
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? `\ncaused by ${error.cause.stack}` : ''
  return `${error.stack ?? error.message}${cause}`
}
