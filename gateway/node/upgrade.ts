/**
 * WebSocket: decided like any request and before any byte goes on. The library gets a head rewritten whole from the plan,
 * so that nothing of the client's own head can reach the upstream, and no frame leaves before the upstream's 101.
 */

import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { type ForwardPlan, type HeaderList, Refusal } from '../model.ts'
import { answer, decide } from '../pipeline.ts'
import { problemAnswer } from '../problem/response.ts'
import type { Snapshot } from '../snapshot.ts'
import { bugAnswer, refusedAnswer } from './answer.ts'
import { decideAgain, type Exchange, failedExchange, openExchange, recordExchange } from './exchange.ts'
import type { Gateway } from './gateway.ts'
import { FIELD_LINES_MAX, TOO_MANY_FIELDS } from './handle.ts'
import type { OpenExchange } from './open-exchanges.ts'
import { Passage } from './passage.ts'
import { endWith } from './raw-answer.ts'
import { newRequestId, rawHeadOf } from './raw-head.ts'
import { refusalOf, type StopReason, stopped } from './upstream-failure.ts'
import { FrameReader, policyCloseFrame } from './websocket-frames.ts'

const NOT_OURS = Object.freeze(new Refusal('route.unlisted'))
const HAS_BODY = Object.freeze(new Refusal('head.framing', { log: 'an upgrade request with a body' }))

/** How long a client may leave the last bytes unread. */
const CLIENT_STALL_MS = 60_000

/** How long a frame under way may take to end before a close frame, and how much of it may be missing. */
const FRAME_END_MS = 250
const FRAME_END_BYTES_MAX = 64 * 1024
/** How long a client may take to hang up after a close frame. */
const LINGER_MS = 1_000

/** How long an upstream may go on towards a client that has ended its side. */
const HALF_OPEN_MS = 2_000

/** Status recorded for a client that left before it was answered. */
const CLIENT_GONE = 499

export async function handleUpgrade(
  gateway: Gateway,
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
): Promise<void> {
  const exchange = openExchange(gateway, newRequestId(), Date.now())
  socket.on('error', ignore)
  try {
    if (request.rawHeaders.length > FIELD_LINES_MAX * 2) return await refuse(exchange, socket, TOO_MANY_FIELDS)
    const raw = rawHeadOf(request, exchange.requestId, exchange.receivedAtMs, true)
    let outcome = await decide(gateway.snapshot, gateway.ports, raw)
    exchange.outcome = outcome // at once: it may hold places
    // From here to the start of the upgrade nothing may be awaited.
    for (let times = 1; outcome.kind === 'forward' && !gateway.exchanges.isCurrent(outcome); times++) {
      outcome = await decideAgain(exchange, raw, outcome, times)
      exchange.outcome = outcome
    }
    if (socket.destroyed) return recordExchange(exchange, CLIENT_GONE, true)
    if (outcome.kind === 'refuse') return await refuse(exchange, socket, outcome.refusal)
    if (outcome.kind === 'own' || outcome.kind === 'preflight') return await refuse(exchange, socket, NOT_OURS)
    if (outcome.head.bodyBytes !== 0) return await refuse(exchange, socket, HAS_BODY)
    new Upgrade(exchange, outcome, socket).start(request, head)
  } catch (error) {
    const own = bugAnswer(exchange, error)
    endWith(socket, own)
    recordExchange(exchange, own.status, false)
  }
}

async function refuse(exchange: Exchange, socket: Socket, refusal: Refusal): Promise<void> {
  const { outcome } = exchange
  const refused = outcome?.kind === 'refuse' ? outcome : failedExchange(exchange, refusal)
  exchange.outcome = refused
  const own = await refusedAnswer(exchange, refused)
  endWith(socket, own)
  recordExchange(exchange, own.status, false)
}

/** One allowed upgrade, from the plan to the end of both sockets. */
class Upgrade implements OpenExchange {
  readonly plan: ForwardPlan
  readonly snapshot: Snapshot
  readonly #exchange: Exchange
  readonly #socket: Socket
  #upstream: ClientRequest | null = null
  #upstreamSocket: Socket | null = null
  #timer: NodeJS.Timeout | null = null
  /** What goes to the client, as far as a close frame of ours needs to know it. */
  readonly #frames = new FrameReader()
  /** Both ways, where the exchange rests on a credential. */
  #passages: readonly Passage[] = []
  #isCut = false
  /** Why it must not go on, while there is no answer yet. */
  #stop: Error | null = null
  /** Status of the answer that went to the client; 0 before there is one. */
  #status = 0

  constructor(exchange: Exchange, plan: ForwardPlan, socket: Socket) {
    this.#exchange = exchange
    this.snapshot = exchange.gateway.snapshot
    this.plan = plan
    this.#socket = socket
  }

  start(request: IncomingMessage, head: Buffer): void {
    const { gateway } = this.#exchange
    const { origin, path, headers, route } = this.plan
    const socket = this.#socket
    gateway.upgraded.add(socket)
    gateway.exchanges.add(this)
    socket.once('close', () => this.#close())
    const fields = [...headers, 'connection', 'Upgrade', 'upgrade', 'websocket']
    request.url = path
    request.rawHeaders = fields
    request.headers = toFields(fields)
    this.#timer = setTimeout(() => {
      this.#upstream?.destroy(stopped('upstream.timeout', `no answer to the upgrade for ${route.timeoutMs} ms`))
    }, route.timeoutMs).unref()
    const tls = gateway.upstreams.tlsOf(origin)
    const proxy = createProxyMiddleware<IncomingMessage>({
      target: origin,
      ...(tls === null ? {} : { ssl: { ...tls } }),
      // Without its own plug-ins the library logs nothing and answers nothing by itself.
      ejectPlugins: true,
      plugins: [
        (server) => {
          server.on('proxyReqWs', (upstreamRequest) => this.#watch(upstreamRequest))
          server.on('open', (upstreamSocket) => this.#opened(upstreamSocket))
          server.on('error', (error) => this.#failed(error))
        },
      ],
    })
    proxy.upgrade(request, socket, head)
  }

  /** Our listeners stand before the library's, so heads are filtered before it writes them. */
  #watch(upstream: ClientRequest): void {
    this.#upstream = upstream
    if (this.#stop !== null) upstream.destroy(this.#stop)
    else if (this.#socket.destroyed) upstream.destroy()
    upstream.once('upgrade', (response, upstreamSocket: Socket) => {
      if (response.headers.upgrade?.trim().toLowerCase() !== 'websocket') {
        this.#failed(stopped('upstream.protocol', 'a 101 to another protocol than websocket'))
        this.#socket.destroy()
        upstreamSocket.destroy()
        return
      }
      const lines = this.#filter(101, response)
      if (lines === null) return void upstreamSocket.destroy()
      this.#answered(101)
      response.headers = toFields([...lines, 'Connection', 'Upgrade', 'Upgrade', 'websocket'])
    })
    upstream.once('response', (response) => {
      const status = response.statusCode ?? 502
      const lines = this.#filter(status, response)
      if (lines === null) return
      this.#answered(status)
      this.#socket.setTimeout(CLIENT_STALL_MS, () => this.#socket.destroy())
      const coding = response.headers['transfer-encoding']
      response.headers = toFields(coding === undefined ? lines : [...lines, 'transfer-encoding', coding])
    })
  }

  /** Field lines for the client; null when there is a bug, and then the client has its answer and its socket is gone. */
  #filter(status: number, response: IncomingMessage): HeaderList | null {
    const { gateway, requestId } = this.#exchange
    try {
      return answer(this.snapshot, this.plan, { status, headers: response.rawHeaders }).headers
    } catch (error) {
      gateway.ports.journal.fault(requestId, error)
      this.#failed(stopped('gateway.bug', 'see the fault of this request'))
      this.#socket.destroy()
      return null
    }
  }

  #answered(status: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#status = status
  }

  /** Either side's end is the other's. */
  #opened(upstreamSocket: Socket): void {
    const socket = this.#socket
    this.#upstreamSocket = upstreamSocket
    if (this.plan.proofs.length > 0) this.#passBothWays(upstreamSocket)
    socket.once('close', () => upstreamSocket.destroy())
    socket.once('end', () => setTimeout(() => upstreamSocket.destroy(), HALF_OPEN_MS).unref())
    upstreamSocket.once('close', () => {
      if (this.#isCut) return
      socket.destroySoon()
      setTimeout(() => socket.destroy(), CLIENT_STALL_MS).unref()
    })
    if (socket.destroyed) upstreamSocket.destroy()
  }

  /** In place of the library's pipes, which pass on whatever comes. */
  #passBothWays(upstreamSocket: Socket): void {
    const socket = this.#socket
    socket.unpipe(upstreamSocket)
    upstreamSocket.unpipe(socket)
    const mayPass = () => this.#exchange.gateway.exchanges.mayPass(this)
    this.#passages = [
      new Passage(upstreamSocket, socket, mayPass, (chunk) => this.#frames.read(chunk)),
      new Passage(socket, upstreamSocket, mayPass, ignore),
    ]
  }

  flow(): void {
    for (const passage of this.#passages) passage.flow()
  }

  /** Nothing of the client goes on; what comes for it ends with the frame under way and a close frame (RFC 6455 §7.4.1). */
  cut(refusal: Refusal): void {
    const socket = this.#socket
    const upstreamSocket = this.#upstreamSocket
    if (this.#isCut || socket.destroyed) return
    if (this.#status === 0) {
      this.#stop = stopped(refusal.reason as StopReason, refusal.log ?? 'cut before it was answered')
      return void this.#upstream?.destroy(this.#stop)
    }
    this.#isCut = true
    this.#exchange.failure = refusal
    // Without passages nobody has looked at the frames: a close frame might land in the middle of one.
    if (this.#status !== 101 || upstreamSocket === null || !socket.writable || this.#passages.length === 0) {
      upstreamSocket?.destroy()
      this.#upstream?.destroy()
      return void socket.destroy()
    }
    for (const passage of this.#passages) passage.stop()
    const frames = this.#frames
    if (frames.isAtBoundary) return void this.#closeFrame()
    if (frames.missingBytes > FRAME_END_BYTES_MAX) return void socket.destroy()
    this.#timer = setTimeout(() => socket.destroy(), FRAME_END_MS).unref()
    upstreamSocket.on('data', (chunk: Buffer) => {
      if (upstreamSocket.destroyed) return
      const end = frames.readToBoundary(chunk)
      socket.write(end < 0 ? chunk : chunk.subarray(0, end))
      if (end >= 0) this.#closeFrame()
      else if (frames.missingBytes > FRAME_END_BYTES_MAX) socket.destroy()
    })
    upstreamSocket.once('end', () => socket.destroy())
    upstreamSocket.resume()
  }

  #closeFrame(): void {
    const socket = this.#socket
    this.#upstreamSocket?.destroy()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
    socket.once('end', () => socket.destroy())
    if (this.#frames.isClosed) socket.end()
    else socket.end(policyCloseFrame('access has ended'))
    // What the client still sends is read and dropped: a reset would discard the close frame.
    socket.resume()
  }

  #failed(error: unknown): void {
    if (this.#isCut) return
    if (this.#status === 101) return void this.#socket.destroySoon()
    if (this.#status !== 0) return void this.#socket.destroy()
    if (this.#socket.destroyed) return
    const refusal = refusalOf(error)
    const { origin, ownHeaders } = this.snapshot
    // At once, for the library closes the socket as soon as its listeners have been told.
    const own = problemAnswer(refusal, this.#exchange.requestId, origin, ownHeaders)
    this.#exchange.failure = refusal
    this.#answered(own.status)
    endWith(this.#socket, own)
  }

  #close(): void {
    this.#exchange.gateway.exchanges.delete(this)
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#upstream?.destroy()
    recordExchange(this.#exchange, this.#status === 0 ? CLIENT_GONE : this.#status, this.#status === 0)
  }
}

/** Field lines as the library takes them; without a prototype, so that no name means anything but itself. */
function toFields(lines: HeaderList): NodeJS.Dict<string[] | string> {
  const fields: NodeJS.Dict<string[] | string> = Object.create(null)
  for (let at = 0; at < lines.length; at += 2) {
    const name = lines[at]!.toLowerCase()
    const value = lines[at + 1]!
    const before = fields[name]
    fields[name] = before === undefined ? value : typeof before === 'string' ? [before, value] : [...before, value]
  }
  return fields
}

function ignore(): void {}
