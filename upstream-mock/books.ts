/**
 * The Books app: an ordinary backend without a line of authentication. It believes the identity headers it is sent,
 * which is exactly why it must stand behind a gateway.
 */

import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { homePage } from './page.ts'

export type App = (url: URL, request: IncomingMessage, response: ServerResponse) => void

interface Book {
  id: number
  title: string
  author: string
}

interface Task {
  id: number
  text: string
  done: boolean
}

const BODY_BYTES_MAX = 1024 * 1024
const ENTRIES_MAX = 1000
const CHAT_EVENTS_MAX = 10_000
const CHAT_GAP_MS_MAX = 10_000
const CHAT_GAP_MS = 40

const READ = ['GET', 'HEAD']

export function booksApp(): App {
  const books: Book[] = [
    { id: 1, title: 'The Dispossessed', author: 'Ursula K. Le Guin' },
    { id: 2, title: 'Invisible Cities', author: 'Italo Calvino' },
    { id: 3, title: 'The Door', author: 'Magda Szabó' },
  ]
  const tasks = new Map<string, Task[]>()
  let requests = 0
  let lastId = books.length

  function serveBooks(request: IncomingMessage, response: ServerResponse): void {
    if (READ.includes(request.method!)) return void sendJson(response, 200, { books })
    if (request.method !== 'POST') return void refuseMethod(response, 'GET, HEAD, POST')
    readJson(request, response, (body) => {
      const { title, author } = body
      if (typeof title !== 'string' || typeof author !== 'string') {
        return void sendJson(response, 400, { error: 'a book has a title and an author' })
      }
      if (books.length >= ENTRIES_MAX) return void sendJson(response, 507, { error: 'the shelf is full' })
      const book = { id: ++lastId, title, author }
      books.push(book)
      response.setHeader('Location', `/api/books/${book.id}`)
      sendJson(response, 201, book)
    })
  }

  function serveBook(id: number, request: IncomingMessage, response: ServerResponse): void {
    const at = books.findIndex((book) => book.id === id)
    const book = books[at]
    if (book === undefined) return void sendJson(response, 404, { error: 'no such book' })
    if (READ.includes(request.method!)) return void sendJson(response, 200, book)
    if (request.method === 'DELETE') {
      books.splice(at, 1)
      response.writeHead(204).end()
      return
    }
    if (request.method !== 'PUT') return void refuseMethod(response, 'GET, HEAD, PUT, DELETE')
    readJson(request, response, (body) => {
      if (typeof body.title === 'string') book.title = body.title
      if (typeof body.author === 'string') book.author = body.author
      sendJson(response, 200, book)
    })
  }

  function serveTasks(user: string, request: IncomingMessage, response: ServerResponse): void {
    const mine = tasks.get(user) ?? []
    if (READ.includes(request.method!)) return void sendJson(response, 200, { user, tasks: mine })
    if (request.method !== 'POST') return void refuseMethod(response, 'GET, HEAD, POST')
    readJson(request, response, (body) => {
      if (typeof body.text !== 'string') return void sendJson(response, 400, { error: 'a task has a text' })
      if (tasks.size >= ENTRIES_MAX || mine.length >= ENTRIES_MAX)
        return void sendJson(response, 507, { error: 'full' })
      const task = { id: mine.length + 1, text: body.text, done: false }
      mine.push(task)
      tasks.set(user, mine)
      sendJson(response, 201, task)
    })
  }

  return (url, request, response) => {
    requests += 1
    const path = url.pathname
    if (path === '/') return void serveHome(request, response)
    if (path === '/api/health') return void sendJson(response, 200, { status: 'ok' })
    if (path === '/api/whoami') return void sendJson(response, 200, whoami(request))
    if (path === '/api/books') return void serveBooks(request, response)
    if (path === '/api/chat') return void serveChat(url, request, response)
    if (path === '/api/admin/stats')
      return void sendJson(response, 200, { requests, books: books.length, users: tasks.size })
    if (path === '/upload') return void serveUpload(request, response)
    const book = /^\/api\/books\/(\d{1,9})$/.exec(path)
    if (book !== null) return void serveBook(Number(book[1]), request, response)
    const user = /^\/api\/users\/([^/]+)\/tasks$/.exec(path)
    if (user !== null) return void serveTasks(decoded(user[1]!), request, response)
    if (path === '/ws') return void sendText(response, 426, 'This is a WebSocket.\n', { Upgrade: 'websocket' })
    sendJson(response, 404, { error: 'not found', path })
  }
}

/** What this app received, as received: the mirror in which a gateway's header policy can be seen. */
export function whoami(request: IncomingMessage): object {
  const headers: [string, string][] = []
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    headers.push([request.rawHeaders[i]!, request.rawHeaders[i + 1]!])
  }
  return { method: request.method, target: request.url, httpVersion: request.httpVersion, headers }
}

function serveHome(request: IncomingMessage, response: ServerResponse): void {
  const { 'x-forwarded-email': email, 'x-forwarded-user': user } = request.headers
  const name = email ?? user
  const page = homePage(typeof name === 'string' && name !== '' ? name : null)
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Length': Buffer.byteLength(page) })
  response.end(page)
}

/** Server-sent events, a word at a time: `?message=` or a posted body; `events` and `gapMs` make it longer and slower. */
function serveChat(url: URL, request: IncomingMessage, response: ServerResponse): void {
  if (request.method === 'POST') {
    readBody(request, response, (body) => stream(messageOf(body)))
    return
  }
  if (request.method !== 'GET') return void refuseMethod(response, 'GET, POST')
  stream(url.searchParams.get('message') ?? 'hello')

  function stream(message: string): void {
    const answer = `You said: ${message}`.split(' ')
    const eventsMax = numberOf(url, 'events', answer.length, CHAT_EVENTS_MAX)
    const gapMs = numberOf(url, 'gapMs', CHAT_GAP_MS, CHAT_GAP_MS_MAX)
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
    let sent = 0
    const sendNext = () => {
      if (sent >= eventsMax) {
        clearInterval(timer)
        response.end('event: done\ndata: {}\n\n')
        return
      }
      const word = answer[sent % answer.length]!
      sent += 1
      response.write(`id: ${sent}\nevent: word\ndata: ${JSON.stringify({ word })}\n\n`)
    }
    const timer = setInterval(sendNext, gapMs)
    response.once('close', () => clearInterval(timer))
    sendNext()
  }
}

function messageOf(body: string): string {
  try {
    const value: unknown = JSON.parse(body)
    if (typeof value === 'object' && value !== null && 'message' in value) return String(value.message)
  } catch {
    // Not JSON: the body is the message.
  }
  return body
}

function serveUpload(request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'POST' && request.method !== 'PUT') return void refuseMethod(response, 'POST, PUT')
  const hash = createHash('sha256')
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    hash.update(chunk)
  })
  request.once('end', () => sendJson(response, 200, { bytes, sha256: hash.digest('hex') }))
}

function readBody(request: IncomingMessage, response: ServerResponse, then: (body: string) => void): void {
  const chunks: Buffer[] = []
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk)
  })
  request.once('end', () => {
    if (bytes > BODY_BYTES_MAX) sendJson(response, 413, { error: 'too large' })
    else then(Buffer.concat(chunks).toString('utf8'))
  })
}

function readJson(
  request: IncomingMessage,
  response: ServerResponse,
  then: (body: Record<string, unknown>) => void,
): void {
  readBody(request, response, (text) => {
    const body = parseObject(text)
    if (body === null) sendJson(response, 400, { error: 'the body is not a JSON object' })
    else then(body)
  })
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
  } catch {
    return null
  }
}

/** A whole number from the query, within 0 and `max`. */
export function numberOf(url: URL, name: string, fallback: number, max: number): number {
  const text = url.searchParams.get(name)
  if (text === null || !/^\d{1,12}$/.test(text)) return fallback
  return Math.min(Number(text), max)
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function refuseMethod(response: ServerResponse, allow: string): void {
  response.setHeader('Allow', allow)
  sendJson(response, 405, { error: 'method not allowed' })
}

export function sendJson(response: ServerResponse, status: number, value: object): void {
  const body = `${JSON.stringify(value)}\n`
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}

export function sendText(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    ...headers,
  })
  response.end(body)
}
