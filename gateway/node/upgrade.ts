/**
 * WebSocket: decided like any request and before any byte goes on. The library gets a head rewritten whole from the plan,
 * so that nothing of the client's own head can reach the upstream, and no frame leaves before the upstream's 101.
 */

import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { linesFor } from '../forward/plan.ts'
import { type ForwardPlan, type HeaderList, Refusal } from '../model.ts'
import { answer, decide, mayRetry } from '../pipeline.ts'
import { problemAnswer } from '../problem/response.ts'
import type { Snapshot } from '../snapshot.ts'
import { bugAnswer, refusedAnswer } from './answer.ts'
import { decideAgain, type Exchange, failedExchange, openExchange, recordExchange } from './exchange.ts'
import type { Gateway } from './gateway.ts'
import { CLIENT_GONE, excessOf } from './handle.ts'
import type { OpenExchange } from './open-exchanges.ts'
import { Passage } from './passage.ts'
import { CLIENT_STALL_MS } from './pressure/connection-caps.ts'
import { endWith } from './raw-answer.ts'
import { rawHeadOf } from './raw-head.ts'
import { newRequestId } from './request-id.ts'
import { AgentOf, openConnection } from './upstream/connect.ts'
import type { LiveServer } from './upstream/live-server.ts'
import type { Asker, LiveUpstream } from './upstream/live-upstream.ts'
import { codeOf, isServersFault, isTriedElsewhere, refusalOf, type StopReason, stopped } from './upstream-failure.ts'
import { closeFrame, FrameReader, GOING_AWAY, POLICY_VIOLATION } from './websocket-frames.ts'

const NOT_OURS = Object.freeze(new Refusal('route.unlisted'))
const HAS_BODY = Object.freeze(new Refusal('head.framing', { log: 'an upgrade request with a body' }))

/** How long a frame under way may take to end before a close frame, and how much of it may be missing. */
const FRAME_END_MS = 250
const FRAME_END_BYTES_MAX = 64 * 1024
/** How long a client may take to hang up after a close frame. */
const LINGER_MS = 1_000

/** How long an upstream may go on towards a client that has ended its side. */
const HALF_OPEN_MS = 2_000

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
    const excess = excessOf(request)
    if (excess !== null) return await refuse(exchange, socket, excess)
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
    new Upgrade(exchange, outcome, request, socket, head).start()
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
  readonly #request: IncomingMessage
  /** What the client sent behind its head. */
  readonly #behind: Buffer
  /** Origins of servers that were tried and could not be reached. */
  #unreached: readonly string[] = []
  /** The server is being connected to. */
  #connection: Socket | null = null
  #upstream: ClientRequest | null = null
  #upstreamSocket: Socket | null = null
  #timer: NodeJS.Timeout | undefined
  /** What goes to the client, as far as a close frame of ours needs to know it. */
  readonly #frames = new FrameReader()
  /** Both ways. */
  #passages: readonly Passage[] = []
  #isCut = false
  /** Why it must not go on, while there is no answer yet. */
  #stop: Error | null = null
  /** Status of the answer that went to the client; 0 before there is one. */
  #status = 0

  constructor(exchange: Exchange, plan: ForwardPlan, request: IncomingMessage, socket: Socket, behind: Buffer) {
    this.#exchange = exchange
    this.snapshot = exchange.gateway.snapshot
    this.plan = plan
    this.#servers = exchange.gateway.upstreams.of(plan.upstream)
    this.#request = request
    this.#socket = socket
    this.#behind = behind
  }

  start(): void {
    const { gateway } = this.#exchange
    const socket = this.#socket
    gateway.upgraded.add(socket)
    gateway.exchanges.add(this)
    socket.once('close', () => this.#close())
    socket.once('end', () => this.#clientEnded())
    socket.read(0) // nothing is taken of what it sends, but that it has gone is seen
    this.#ask(this.plan.origin)
  }

  #ask(origin: string): void {
    const { connectMs } = this.plan.route.timeouts
    this.#within(connectMs, () => this.#giveUpConnecting(connectMs))
    const place = this.#servers.enter(this.plan.upstream, origin, this)
    if (place === 'busy') this.#failed(stopped('upstream.busy', 'as many requests wait as may'))
    else if (place !== 'waiting') this.onTurn(place)
  }

  onTurn(server: LiveServer): void {
    const { origin, tls } = server
    const tries = this.#unreached.length + 1
    this.#server = server
    if (tries > 1 || this.plan.upstream.servers.length > 1) this.#exchange.asked = { server: origin, tries }
    const failed = (error: Error) => this.#failedToConnect(error)
    this.#connection = openConnection(origin, tls, ['http/1.1'], null, (connection) => {
      connection.off('error', failed).on('error', ignore)
      this.#connected(connection, origin)
    }).once('error', failed)
  }

  /** In place of what was waited for before. */
  #within(ms: number, giveUp: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(giveUp, ms).unref()
  }

  #giveUpConnecting(connectMs: number): void {
    if (this.#servers.forget(this)) this.#failed(stopped('upstream.busy', `no server was free for ${connectMs} ms`))
    else this.#connection?.destroy(stopped('upstream.connect-timeout', `no connection for ${connectMs} ms`))
  }

  /** Whoever ends their side before there is a WebSocket does not wait for one. */
  #clientEnded(): void {
    if (this.#status === 0) this.#socket.destroy()
  }

  /** Nothing has been sent, so another server may be asked. */
  #failedToConnect(error: Error): void {
    const server = this.#server
    if (server === null || this.#socket.destroyed) return
    if (isServersFault(error)) server.failed(this)
    this.#connection = null
    this.#server = null
    server.leave(this)
    this.#unreached = [...this.#unreached, server.origin]
    const attempt = { tries: this.#unreached.length, isSent: false, isAnswered: false }
    const isTried = this.#stop === null && isTriedElsewhere(error) && mayRetry(this.plan.head, attempt)
    const origin = isTried ? this.#servers.retryAt(this.#unreached, false) : null
    if (origin === null) this.#failed(error)
    else this.#ask(origin)
  }

  #connected(connection: Socket, origin: string): void {
    const { plan } = this
    this.#connection = null
    const fault = this.#exchange.gateway.exchanges.startFault(this)
    if (fault !== null) {
      connection.destroy()
      return void this.#failed(stopped(fault, 'when the connection was there'))
    }
    const request = this.#request
    const fields = [...linesFor(plan, origin), 'connection', 'Upgrade', 'upgrade', 'websocket']
    request.url = plan.path
    request.rawHeaders = fields
    request.headers = toFields(fields)
    const { firstByteMs } = plan.route.timeouts
    this.#within(firstByteMs, () => {
      const message = `no answer to the upgrade for ${firstByteMs} ms`
      this.#upstream?.destroy(stopped('upstream.first-byte-timeout', message))
    })
    const proxy = createProxyMiddleware<IncomingMessage>({
      // Nobody is looked for by this name: the connection is there.
      target: 'http://localhost',
      agent: new AgentOf(connection),
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
    proxy.upgrade(request, this.#socket, this.#behind)
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
      // What the client sent behind its head is for nobody; unread, it would keep the client's end from being seen.
      this.#socket.resume()
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
    this.#server?.succeeded(this)
    clearTimeout(this.#timer)
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
      this.#connection?.destroy(this.#stop)
      this.#upstream?.destroy(this.#stop)
      if (this.#servers.forget(this)) this.#failed(this.#stop)
      return
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
    this.#within(FRAME_END_MS, () => socket.destroy())
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
    this.#within(LINGER_MS, () => socket.destroy())
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
    clearTimeout(this.#timer)
    this.#status = own.status
    endWith(this.#socket, own)
  }

  #close(): void {
    this.#exchange.gateway.exchanges.delete(this)
    clearTimeout(this.#timer)
    this.#connection?.destroy()
    this.#upstream?.destroy()
    if (this.#server === null) this.#servers.forget(this)
    else this.#server.leave(this)
    this.#server = null
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
