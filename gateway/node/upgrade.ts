/**
 * WebSocket: decided like any request and before any byte goes on. The library gets a head rewritten whole from the plan,
 * so that nothing of the client's own head can reach the upstream, and no frame leaves before the upstream's 101.
 */

import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { linesFor } from '../forward/plan.ts'
import { socketPathOf } from '../http/authority.ts'
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
import type { LiveServer } from './upstream/live-server.ts'
import type { Asker, LiveUpstream } from './upstream/live-upstream.ts'
import { codeOf, isServersFault, refusalOf, type StopReason, stopped } from './upstream-failure.ts'
import { closeFrame, FrameReader, GOING_AWAY, POLICY_VIOLATION } from './websocket-frames.ts'

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
    const place = gateway.pressure.enter(gateway.snapshot.admission, request)
    if (place instanceof Refusal) return await refuse(exchange, socket, place)
    exchange.place = place
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
class Upgrade implements OpenExchange, Asker {
  openSeat = -1
  readonly plan: ForwardPlan
  readonly snapshot: Snapshot
  readonly #exchange: Exchange
  readonly #socket: Socket
  readonly #servers: LiveUpstream
  /** Where it has a place; null while it waits for one, and when it is over. */
  #server: LiveServer | null = null
  /** Goes on once it has a place. */
  #begin: (() => void) | null = null
  #upstream: ClientRequest | null = null
  #upstreamSocket: Socket | null = null
  #timer: NodeJS.Timeout | null = null
  /** What goes to the client, as far as a close frame of ours needs to know it. */
  readonly #frames = new FrameReader()
  /** Both ways. */
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
    this.#servers = exchange.gateway.upstreams.of(plan.upstream)
    this.#socket = socket
  }

  start(request: IncomingMessage, head: Buffer): void {
    const { gateway } = this.#exchange
    const { route, origin } = this.plan
    const socket = this.#socket
    gateway.upgraded.add(socket)
    gateway.exchanges.add(this)
    socket.once('close', () => this.#close())
    const { connectMs } = route.timeouts
    this.#timer = setTimeout(() => this.#giveUpConnecting(connectMs), connectMs).unref()
    this.#begin = () => this.#connect(request, head)
    const place = this.#servers.enter(this.plan.upstream, origin, this)
    if (place === 'busy') this.#failed(stopped('upstream.busy', 'as many requests wait as may'))
    else if (place !== 'waiting') this.onTurn(place)
  }

  onTurn(server: LiveServer): void {
    this.#server = server
    if (this.plan.upstream.servers.length > 1) this.#exchange.asked = { server: server.origin, tries: 1 }
    this.#begin?.()
  }

  #giveUpConnecting(connectMs: number): void {
    if (this.#servers.forget(this)) this.#failed(stopped('upstream.busy', `no server was free for ${connectMs} ms`))
    else this.#upstream?.destroy(stopped('upstream.connect-timeout', `no connection for ${connectMs} ms`))
  }

  #connect(request: IncomingMessage, head: Buffer): void {
    const { plan } = this
    const socket = this.#socket
    const { origin, tls } = this.#server!
    const fields = [...linesFor(plan, origin), 'connection', 'Upgrade', 'upgrade', 'websocket']
    request.url = plan.path
    request.rawHeaders = fields
    request.headers = toFields(fields)
    const proxy = createProxyMiddleware<IncomingMessage>({
      target: targetOf(origin),
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
    upstream.once('socket', (upstreamSocket) => {
      const isThere = 'encrypted' in upstreamSocket ? 'secureConnect' : 'connect'
      if (upstreamSocket.connecting) upstreamSocket.once(isThere, () => this.#connected())
      else this.#connected()
    })
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
      // What the client sent behind its head is for nobody; unread, it would keep the client's end from being seen.
      this.#socket.resume()
      const coding = response.headers['transfer-encoding']
      response.headers = toFields(coding === undefined ? lines : [...lines, 'transfer-encoding', coding])
    })
  }

  #connected(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    const { firstByteMs } = this.plan.route.timeouts
    this.#timer = setTimeout(() => {
      const message = `no answer to the upgrade for ${firstByteMs} ms`
      this.#upstream?.destroy(stopped('upstream.first-byte-timeout', message))
    }, firstByteMs).unref()
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
    this.#server?.succeeded(this)
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#status = status
  }

  /** Either side's end is the other's. */
  #opened(upstreamSocket: Socket): void {
    const socket = this.#socket
    this.#upstreamSocket = upstreamSocket
    this.#passBothWays(upstreamSocket)
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
    if (this.#isCut || this.#socket.destroyed) return
    if (this.#status === 0) {
      this.#stop = stopped(refusal.reason as StopReason, refusal.log ?? 'cut before it was answered')
      return void this.#upstream?.destroy(this.#stop)
    }
    this.#exchange.failure = refusal
    this.#end(closeFrame(POLICY_VIOLATION, 'access has ended'))
  }

  /** One that is not answered yet is cut when its time is up. */
  leave(): void {
    if (!this.#isCut && this.#status === 101) this.#end(closeFrame(GOING_AWAY, 'the gateway restarts'))
  }

  #end(last: Buffer): void {
    const socket = this.#socket
    const upstreamSocket = this.#upstreamSocket
    this.#isCut = true
    if (this.#status !== 101 || upstreamSocket === null || !socket.writable) {
      upstreamSocket?.destroy()
      this.#upstream?.destroy()
      return void socket.destroy()
    }
    for (const passage of this.#passages) passage.stop()
    const frames = this.#frames
    if (frames.isAtBoundary) return void this.#closeWith(last)
    if (frames.missingBytes > FRAME_END_BYTES_MAX) return void socket.destroy()
    this.#timer = setTimeout(() => socket.destroy(), FRAME_END_MS).unref()
    upstreamSocket.on('data', (chunk: Buffer) => {
      if (upstreamSocket.destroyed) return
      const end = frames.readToBoundary(chunk)
      socket.write(end < 0 ? chunk : chunk.subarray(0, end))
      if (end >= 0) this.#closeWith(last)
      else if (frames.missingBytes > FRAME_END_BYTES_MAX) socket.destroy()
    })
    upstreamSocket.once('end', () => socket.destroy())
    upstreamSocket.resume()
  }

  #closeWith(last: Buffer): void {
    const socket = this.#socket
    this.#upstreamSocket?.destroy()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
    socket.once('end', () => socket.destroy())
    if (this.#frames.isClosed) socket.end()
    else socket.end(last)
    // What the client still sends is read and dropped: a reset would discard the close frame.
    socket.resume()
  }

  #failed(error: unknown): void {
    if (this.#isCut) return
    if (this.#status === 101) return void this.#socket.destroySoon()
    if (this.#status !== 0) return void this.#socket.destroy()
    if (isServersFault(error) || codeOf(error) === 'upstream.first-byte-timeout') this.#server?.failed(this)
    if (this.#socket.destroyed) return
    const refusal = refusalOf(error)
    const { origin, ownHeaders } = this.snapshot
    // At once, for the library closes the socket as soon as its listeners have been told.
    const own = problemAnswer(refusal, this.#exchange.requestId, origin, ownHeaders)
    this.#exchange.failure = refusal
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#status = own.status
    endWith(this.#socket, own)
  }

  #close(): void {
    this.#exchange.gateway.exchanges.delete(this)
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#upstream?.destroy()
    if (this.#server === null) this.#servers.forget(this)
    else this.#server.leave(this)
    this.#server = null
    recordExchange(this.#exchange, this.#status === 0 ? CLIENT_GONE : this.#status, this.#status === 0)
  }
}

/** As the library takes it. */
function targetOf(origin: string) {
  const socketPath = socketPathOf(origin)
  return socketPath === null ? origin : { protocol: 'http:', host: 'localhost', socketPath }
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
