/** A Chromium for tests: the one of this machine, with nothing of its own to say to the network, and with its back/forward cache on, as people have it. */

import { type Browser, chromium } from 'playwright-core'

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export function openChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.POSTERN_CHROMIUM ?? '/usr/bin/chromium',
    args: ARGS,
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
  })
}
