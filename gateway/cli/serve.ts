/** `postern serve`: runs the gateway until a signal ends it. With `--demo` it brings an upstream and users of its own. */

import { availableParallelism } from 'node:os'
import { loadPolicy, type PolicyFile, readPolicyFile } from '../node/config-file.ts'
import { jsonJournal, type NodeJournal, terminalJournal } from '../node/journal.ts'
import type { RunningGateway } from '../node/main.ts'
import { supervise } from '../node/processes/supervisor.ts'
import { isWorker, type WorkerPost, workerPost } from '../node/processes/worker-post.ts'
import { closeOnCrash, closeOnSignal } from '../node/shutdown.ts'
import { configFile, portOverride } from './settings.ts'

export interface ServeOptions {
  readonly demo?: boolean
  readonly config?: string
  readonly data: string
}

export async function serve(options: ServeOptions): Promise<void> {
  const policy = readPolicyFile(configFile(options.config))
  const port = portOverride()
  const isDemo = options.demo === true
  // The demo shows one process: its upstream and its users are here.
  const workers = isDemo ? 1 : workersOf(policy, port)
  if (workers === 1) return serveHere(options, policy, port, null)
  if (isWorker()) return serveHere(options, policy, port, workerPost(workers))
  const journal = jsonJournal()
  const code = await supervise({ count: workers, exec: process.argv[1]!, args: process.argv.slice(2), journal })
  await journal.flush()
  process.exit(code)
}

/** The whole policy is checked where it is served; what is wrong with it is said there, once. */
function workersOf(policy: PolicyFile, port: number | null): number {
  if (!policy.text.includes('workers')) return 1 // nothing to read twice for
  const { workers } = loadPolicy(policy, process.env, { port, upstreamUrl: null }).config
  return workers === 'auto' ? availableParallelism() : workers
}

async function serveHere(
  options: ServeOptions,
  policy: PolicyFile,
  port: number | null,
  post: WorkerPost | null,
): Promise<void> {
  // Not before: the process that watches over others needs none of it.
  const { startGateway } = await import('../node/main.ts')
  const isDemo = options.demo === true
  const journal = openJournal(isDemo)
  const upstream = isDemo ? await startDemoUpstream() : null
  let gateway: RunningGateway | null = null
  const close = async (how: Parameters<RunningGateway['close']>[0]) => {
    post?.leave()
    await gateway?.close(how)
    await upstream?.close()
    await journal.flush()
  }
  try {
    gateway = await startGateway({
      policy,
      env: process.env,
      dataDir: options.data,
      journal,
      port,
      upstreamUrl: upstream?.url ?? null,
      isLoopbackOnly: isDemo,
      isWatched: true,
      peers: post?.peers ?? null,
    })
    closeOnCrash(journal, () => close('crashed'))
    // A node of several processes is announced by all of them; one of them that ends leaves its place to the others.
    closeOnSignal(() => close(post === null ? 'announced' : 'now'))
    post?.onEnd(() => void close('announced').then(() => process.exit(0)))
    reloadOnSignal(gateway, journal)
    if (isDemo) await tellDemo(gateway, options.data)
    else tellStart(gateway, journal, post)
  } catch (error) {
    await close('now')
    throw error
  }
}

async function tellDemo(gateway: RunningGateway, dataDir: string): Promise<void> {
  const { prepareDemo } = await import('./demo.ts')
  process.stdout.write(await prepareDemo(gateway, dataDir, process.stdout.isTTY === true))
}

function tellStart(gateway: RunningGateway, journal: NodeJournal, post: WorkerPost | null): void {
  const note = `listening on ${gateway.url} for ${gateway.origin}, with policy ${gateway.policyName()}`
  if (post === null) return void journal.note(note)
  const limits = gateway.limits().isShared
    ? ''
    : '; without Redis each of them counts its part of every limit, so one connection alone meets a limit sooner'
  post.serving(gateway.url, `${note}, by ${post.peers.count} processes${limits}`)
}

/** As other servers do. On a terminal the signal says that the terminal is closed, and that ends the gateway. */
function reloadOnSignal(gateway: RunningGateway, journal: NodeJournal): void {
  if (process.stdin.isTTY === true || process.stdout.isTTY === true) return
  const reload = async () => {
    const { outcome } = await gateway.reload()
    if (outcome === 'same') journal.note('SIGHUP: nothing has changed')
  }
  process.on('SIGHUP', () => void reload())
}

function openJournal(isDemo: boolean): NodeJournal {
  if (!isDemo || process.stdout.isTTY !== true) return jsonJournal()
  return terminalJournal((line) => process.stdout.write(line))
}

/** The Books app of `upstream-mock/`, on a free port of loopback and without its faults. */
async function startDemoUpstream() {
  const { startUpstream } = await import('../../upstream-mock/server.ts')
  return startUpstream({ host: '127.0.0.1', port: 0, faults: false })
}
