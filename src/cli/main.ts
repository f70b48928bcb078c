#!/usr/bin/env node
import { hideTokenArgument } from './hidden-token.js'
import { nameOfHelper } from './helper-name.js'

// `/sbin/mount.rkfs` may be a link to this file
nameOfHelper()
// Before the program is loaded, which takes several times as long as everything up to here.
hideTokenArgument()
const { run } = await import('./run.js')
await run()
