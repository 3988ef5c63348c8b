/**
 * The connections of clients that speak HTTP/2, and the limits of each. What node:http2 and nghttp2 guard by themselves: frames
 * and fields that are malformed, CONTINUATION without end (CVE-2024-27316: 8 frames), SETTINGS and PING faster than they can
 * be acknowledged, empty DATA, bytes beyond the flow-control window. What they guard as they are told: all that stands in LIMITS.
 */

import { constants, createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { Http2Request, Http2Response, headOf } from './exchange.ts'

export interface Http2Sessions {
  /** Takes a connection on which `h2` was agreed. */
  accept(socket: Socket): void
  /** Says that no new streams are taken (GOAWAY); each connection ends with its last one. */
  close(): void
  /** Ends all at once. */
  destroy(): void
  readonly size: number
}

export type ServeHttp2 = (request: Http2Request, response: Http2Response, isContinueAsked: boolean) => void

/** Requests under way on one connection; browsers know the number and wait. */
const STREAMS_MAX = 100
/** Of one head, counted as RFC 9113 §6.5.2 does: 32 bytes more for each line than its name and value have. */
const HEAD_BYTES_MAX = 32 * 1024
const LINE_BYTES = 32
/** A few more than are served, so that the refusal can say why. */
const FIELD_LINES_MAX = 300

const LIMITS = {
  settings: {
    maxConcurrentStreams: STREAMS_MAX,
    maxHeaderListSize: HEAD_BYTES_MAX,
    enablePush: false,
    enableConnectProtocol: false,
  },
  maxHeaderListPairs: FIELD_LINES_MAX,
  /** MB for everything that one connection holds: streams, heads, and bytes that wait for a window. */
  maxSessionMemory: 8,
  /** A browser that leaves a page resets each of its streams once; who goes on gets a GOAWAY (CVE-2023-44487). */
  streamResetBurst: 200,
  streamResetRate: 33,
  /** Streams that we have to reset, for what stands in their frames (CVE-2025-8671). */
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  maxOutstandingPings: 2,
  maxOutstandingSettings: 2,
  maxSettings: 16,
  peerMaxConcurrentStreams: 0,
  /** An upstream's doubled field passes as it does by HTTP/1.1; what must be single has been looked after by then. */
  strictSingleValueFields: false,
} as const

export interface SessionPace {
  readonly sweepMs: number
  /** How long a connection without a request is kept. */
  readonly idleMs: number
  /** How long it may take to its first request. */
  readonly firstMs: number
}

/** As connections of HTTP/1.1. */
const PACE: SessionPace = { sweepMs: 5_000, idleMs: 65_000, firstMs: 15_000 }

const END_STREAM = 0x1

interface Held {
  readonly socket: Socket
  streams: number
  /** Monotonic, and of when it has no streams. */
  idleSinceMs: number
  isNew: boolean
}

export function http2Sessions(serve: ServeHttp2, pace: SessionPace = PACE): Http2Sessions {
  const sessions = new Map<ServerHttp2Session, Held>()
  const engine = createServer(LIMITS)
  /** Within `accept`, whose connection makes a session at once. */
  let accepted: Socket | null = null
  engine.on('session', (session) => {
    if (accepted === null) return void session.destroy()
    sessions.set(session, { socket: accepted, streams: 0, idleSinceMs: performance.now(), isNew: true })
    session.on('close', () => sessions.delete(session))
  })
  engine.on('sessionError', ignore)
  engine.on('stream', (stream: ServerHttp2Stream, _headers, flags, raw: string[]) => {
    const held = stream.session === undefined ? undefined : sessions.get(stream.session as ServerHttp2Session)
    if (held === undefined) return void stream.on('error', ignore).destroy()
    hold(held, stream)
    // A client that never acknowledges our settings is not held to them by node:http2.
    if (bytesOf(raw) > HEAD_BYTES_MAX) return stream.on('error', ignore).close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    const head = headOf(raw)
    const request = new Http2Request(stream, held.socket, head, (flags & END_STREAM) === 0)
    serve(request, new Http2Response(stream, request), head.isContinueAsked)
  })
  const clock = setInterval(sweep, pace.sweepMs).unref()
  return {
    accept(socket) {
      accepted = socket
      engine.emit('connection', socket)
      accepted = null
    },
    close() {
      for (const session of sessions.keys()) session.close()
    },
    destroy() {
      clearInterval(clock)
      for (const session of sessions.keys()) session.destroy()
    },
    get size() {
      return sessions.size
    },
  }

  function hold(held: Held, stream: ServerHttp2Stream): void {
    held.streams++
    held.isNew = false
    stream.on('close', () => {
      held.streams--
      held.idleSinceMs = performance.now()
    })
  }

  /** An end that the other side does not take part in is no end, so the second time there is no asking. */
  function sweep(): void {
    const nowMs = performance.now()
    for (const [session, { streams, idleSinceMs, isNew }] of sessions) {
      if (streams > 0 || nowMs - idleSinceMs < (isNew ? pace.firstMs : pace.idleMs)) continue
      if (session.closed) session.destroy()
      else session.close()
    }
  }
}

function bytesOf(raw: readonly string[]): number {
  let bytes = 0
  for (const text of raw) bytes += text.length + LINE_BYTES / 2
  return bytes
}

function ignore(): void {}
