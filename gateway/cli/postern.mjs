#!/usr/bin/env node
/** The `postern` command of an installed package, where the sources have been built to JavaScript beside this file. */
import { existsSync } from 'node:fs'

const built = new URL('./main.js', import.meta.url)
await import(existsSync(built) ? built.href : new URL('./main.ts', import.meta.url).href)
