/** `postern serve`: runs the gateway until a signal ends it. With `--demo` it brings an upstream and users of its own. */

import { readPolicyFile } from '../node/config-file.ts'
import { jsonJournal, type NodeJournal, terminalJournal } from '../node/journal.ts'
import { type RunningGateway, startGateway } from '../node/main.ts'
import { closeOnSignal } from '../node/shutdown.ts'
import { prepareDemo } from './demo.ts'
import { configFile, portOverride } from './settings.ts'

export interface ServeOptions {
  readonly demo?: boolean
  readonly config?: string
  readonly data: string
}

export async function serve(options: ServeOptions): Promise<void> {
  const isDemo = options.demo === true
  const policy = readPolicyFile(configFile(options.config))
  const port = portOverride()
  const journal = openJournal(isDemo)
  const upstream = isDemo ? await startDemoUpstream() : null
  let gateway: RunningGateway | null = null
  const close = async () => {
    await gateway?.close()
    await upstream?.close()
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
    })
    closeOnSignal(close)
    reloadOnSignal(gateway, journal)
    if (isDemo) process.stdout.write(await prepareDemo(gateway, options.data, process.stdout.isTTY === true))
    else journal.note(`listening on ${gateway.url} for ${gateway.origin}, with policy ${gateway.policyName()}`)
  } catch (error) {
    await close()
    await journal.flush()
    throw error
  }
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
