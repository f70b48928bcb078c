#!/usr/bin/env node
import { keepDebuggerShut } from './closed-debugger.js'
import { hideTokenArgument } from './hidden-token.js'
import { nameOfHelper } from './helper-name.js'
import { refuseOldNode } from './node-version.js'

keepDebuggerShut()
// What is imported above must be understood by any Node that knows modules at all: it says which one is needed.
refuseOldNode()
// `/sbin/mount.rkfs` may be a link to this file
nameOfHelper()
// Before the program is loaded, which takes several times as long as everything up to here.
hideTokenArgument()
void import('./run.js').then(program => program.run())
