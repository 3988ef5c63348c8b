/**
 * HTTP/2 towards an upstream: over TLS if the server agrees to it (ALPN), over plain connections and sockets by prior knowledge
 * (RFC 9113 §3.3). A server that agrees to HTTP/1.1 alone is asked by that.
 */

import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { openConnection } from './connect.ts'
import { Http2Call } from './http2-call.ts'
import type { UpstreamTls } from './tls.ts'
import type { Transport, TransportOptions, UpstreamHandler, UpstreamRequest } from './transport.ts'

const SESSION = {
  settings: { enablePush: false, maxHeaderListSize: 64 * 1024, initialWindowSize: 256 * 1024 },
  maxHeaderListPairs: 512,
  peerMaxConcurrentStreams: 100,
  /** MB for everything that one connection holds; a window for each of its streams fits in. */
  maxSessionMemory: 64,
  maxReservedRemoteStreams: 0,
  strictSingleValueFields: false,
}
/** Of one connection, whatever the server allows. */
const STREAMS_MAX = 250
const CONNECTIONS_MAX = 64
const IDLE_MS = 60_000

interface Peer {
  readonly session: ClientHttp2Session
  streams: number
}

export interface Http2Target {
  readonly origin: string
  /** Of `unix:`. */
  readonly socketPath: string | null
  readonly tls: UpstreamTls | null
}

/** `http1` makes what speaks HTTP/1.1 to the same server. */
export function http2Transport(target: Http2Target, options: TransportOptions, http1: () => Transport): Transport {
  const peers = new Set<Peer>()
  const connecting = new Set<Socket>()
  let waiting: Http2Call[] = []
  let older: Transport | null = null
  let isClosing = false
  let whenIdle: (() => void) | null = null

  return {
    send(request: UpstreamRequest, handler: UpstreamHandler) {
      const call = new Http2Call(request, handler)
      queueMicrotask(() => place(call))
      return call
    },
    async close() {
      isClosing = true
      await older?.close()
      if (peers.size > 0 || waiting.length > 0) {
        for (const { session } of peers) session.close()
        await new Promise<void>((resolve) => {
          whenIdle = resolve
        })
      }
    },
    async destroy() {
      isClosing = true
      const gone = Object.assign(new Error('the gateway is closing'), { code: 'ECONNRESET' })
      for (const call of waiting) call.fail(gone)
      waiting = []
      for (const socket of connecting) socket.destroy()
      for (const { session } of peers) session.destroy()
      await older?.destroy()
    },
  }

  function place(call: Http2Call): void {
    if (call.isOver) return
    if (older !== null) return void call.delegate((request, handler) => older!.send(request, handler))
    for (const peer of peers) {
      if (mayTake(peer)) return void start(peer, call)
    }
    waiting.push(call)
    const isConnecting = connecting.size > 0 || [...peers].some(({ session }) => session.connecting)
    if (!isConnecting && peers.size < CONNECTIONS_MAX) open()
  }

  function mayTake({ session, streams }: Peer): boolean {
    if (session.closed || session.destroyed || session.connecting) return false
    return streams < Math.min(session.remoteSettings.maxConcurrentStreams ?? STREAMS_MAX, STREAMS_MAX)
  }

  function start(peer: Peer, call: Http2Call): void {
    const { session } = peer
    peer.streams += 1
    session.ref()
    call.start(session, target.tls === null ? 'http' : 'https', () => {
      peer.streams -= 1
      if (peer.streams === 0) session.unref()
      next()
    })
  }

  /** Who waits takes a place that became free, or asks for another connection. */
  function next(): void {
    const queue = waiting
    waiting = []
    for (const call of queue) place(call)
    settle()
  }

  function settle(): void {
    if (peers.size === 0 && waiting.length === 0) whenIdle?.()
  }

  function open(): void {
    const socket = openConnection(target.origin, target.tls, ['h2', 'http/1.1'], options.lookup, () => {
      settled()
      if (target.tls === null || (socket as TLSSocket).alpnProtocol === 'h2') return void adopt(socket)
      socket.destroy()
      older ??= http1()
      next()
    })
    connecting.add(socket)
    const timer = setTimeout(() => {
      socket.destroy(Object.assign(new Error(`no connection for ${options.connectMs} ms`), { code: 'ETIMEDOUT' }))
    }, options.connectMs)
    let failure: Error | null = null
    socket.once('error', (error) => {
      failure = error
    })
    const onClose = () => {
      settled()
      failAll(failure ?? Object.assign(new Error('the server hung up'), { code: 'ECONNRESET' }))
    }
    const settled = () => {
      clearTimeout(timer)
      connecting.delete(socket)
      socket.off('close', onClose)
    }
    socket.once('close', onClose)
  }

  function adopt(socket: Socket): void {
    const authority = target.socketPath === null ? target.origin : 'http://localhost'
    const session = connectHttp2(authority, { ...SESSION, createConnection: () => socket })
    const peer: Peer = { session, streams: 0 }
    peers.add(peer)
    // The streams tell what went wrong; an error event that nobody hears would end the process.
    session.on('error', ignore)
    session.on('close', () => {
      peers.delete(peer)
      next()
    })
    session.on('goaway', () => void session.close())
    // A server may take more than it first said.
    session.on('remoteSettings', next)
    session.setTimeout(IDLE_MS, () => {
      if (peer.streams === 0) session.close()
    })
    session.unref()
    session.once('connect', () => {
      next()
      if (isClosing && peer.streams === 0) session.close()
    })
  }

  function failAll(error: Error): void {
    const queue = waiting
    waiting = []
    for (const call of queue) call.fail(error)
    settle()
  }
}

function ignore(): void {}
