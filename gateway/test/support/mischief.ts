/**
 * Loaded into a real process before anything else (`NODE_OPTIONS=--import`), so that a test can make it fail from outside:
 * SIGUSR2 throws where nobody catches, SIGWINCH keeps the event loop busy, and again lets it go.
 */

const BUSY_MS = 450
let timer: NodeJS.Timeout | null = null

process.on('SIGUSR2', () => {
  setImmediate(() => {
    throw new Error('mischief that nobody caught')
  })
})

process.on('SIGWINCH', () => {
  if (timer !== null) {
    clearInterval(timer)
    timer = null
    return
  }
  timer = setInterval(() => {
    for (const endsAtMs = performance.now() + BUSY_MS; performance.now() < endsAtMs; );
  }, 1)
})
