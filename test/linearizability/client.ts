/** One client of a workload, in a process of its own: what hangs in a mount hangs only this. Started by `workload.ts`. */
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { Rng } from '../../src/base/rng.js'
import { ClientCalls } from './client-calls.js'
import { Draws, setupInputs } from './draws.js'
import type { FileInput, FileOutput } from './file-model.js'
import type { HistoryLine, Outcome } from './history.js'

export interface ClientOptions {
  readonly client: string
  /** Where the channel is mounted, or will be again. */
  readonly directory: string
  readonly historyFile: string
  /** When this file is there, the client ends. */
  readonly stopFile: string
  readonly seed: number
  readonly isSetup: boolean
  readonly isConfirmed: boolean
  readonly namesOnly: boolean
  readonly pauseMs: number
  /** A folder in the mount. */
  readonly within: string
}

const options = JSON.parse(process.argv[2]!) as ClientOptions
const { client, directory, stopFile } = options
const history = openSync(options.historyFile, 'a')
const rng = new Rng(options.seed)
const draws = new Draws(client, rng, options.namesOnly)
const parent = process.ppid
let calls = 0

/** CLOCK_MONOTONIC, which all processes of the machine share, in ns: exact for the first hundred days. */
const now = (): number => Number(process.hrtime.bigint())
const pause = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
/** The parent may be gone, too. */
const isOver = (): boolean => process.ppid !== parent || existsSync(stopFile)

function say(line: HistoryLine<FileInput, FileOutput>): void {
  writeSync(history, `${JSON.stringify(line)}\n`)
}

function perform(on: ClientCalls, input: FileInput): Outcome<FileOutput> {
  const id = calls++
  say({ client, id, call: now(), input })
  const outcome = on.perform(input)
  say({ client, id, return: now(), outcome })
  return outcome
}

/** A descriptor of the mount's root; undefined while nothing is mounted there. */
function openMount(): number | undefined {
  let descriptor: number | undefined
  try {
    descriptor = openSync(directory, 'r')
    if (fstatSync(descriptor).dev !== statSync(dirname(directory)).dev) return descriptor
  } catch {
    // the node has ended, or its directory is just being mounted
  }
  if (descriptor !== undefined) closeSync(descriptor)
  return undefined
}

/** Until an outcome that is not an answer: the mount may have ended. */
function workOn(root: number): void {
  const on = new ClientCalls(root, options.within, client, options.isConfirmed)
  while (!isOver()) {
    if (options.pauseMs > 0) pause(rng.below(options.pauseMs * 2))
    const input = draws.next()
    const outcome = perform(on, input)
    draws.told(input, outcome)
    if (typeof outcome === 'string') return
  }
}

while (!isOver()) {
  const root = openMount()
  if (root === undefined) {
    pause(20)
    continue
  }
  try {
    if (options.isSetup) {
      mkdirSync(`/proc/self/fd/${root}/${options.within}`, { recursive: true })
      const on = new ClientCalls(root, options.within, client, options.isConfirmed)
      process.exit(setupInputs.every(input => typeof perform(on, input) !== 'string') ? 0 : 1)
    }
    workOn(root)
  } finally {
    closeSync(root)
  }
}
