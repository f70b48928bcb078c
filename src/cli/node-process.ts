import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, fstatSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { nodeEnvironment } from '../adapters/host/allocator.js'
import { runningHolder } from '../adapters/host/lock-holder.js'
import { nodeThreads, requireProcessLimits } from '../adapters/host/process-limits.js'
import { RkfsError } from '../base/errors.js'
import { systemError } from '../base/system-error.js'
import { MiB } from '../base/limits.js'
import { loadConfig, type ConfigFlags } from '../daemon/config.js'
import { callDaemon, isLostNode, isNoNode } from '../daemon/control-client.js'
import { channelNames } from '../daemon/channel-traces.js'
import { inspectHome, openHome } from '../daemon/home.js'
import { namingDisk } from '../daemon/naming-disk.js'
import { exitCodes } from './exit-codes.js'
import { StartNotice } from './start-notice.js'
import { starterDescriptor, starterEnvironment } from './starter.js'

/** A node that replays a long log takes a while before it answers. */
const START_TIMEOUT_MS = 120_000
const POLL_MS = 40
/** What a node said last is here so long after its end at most. */
const WORDS_MS = 1000
/** After our own start has failed: another one at the same moment may have won the home's lock and come up. */
const OTHER_START_MS = 3000
/** An orderly stop waits so long for changes at most. */
const STOP_MS = 120_000
const LOG_BYTES_MAX = 16 * MiB
const startErrorPrefix = 'rkfs: '

export interface NodeStart {
  /** The node that runs now; undefined when it ran before. */
  readonly started: ChildProcess | undefined
  /** The home was made for it. */
  readonly isNewHome: boolean
}

export interface StartOptions {
  /** The node writes its log to our standard error instead of `node.log`. */
  readonly foreground?: boolean
  /** Where the caller is about to mount: a dead mount that is there is left to it. */
  readonly mounting?: string
}

/**
 * Starts the home's node in the background unless it runs, and waits until it answers. If it does not come up, fails
 * with what it said.
 */
export async function ensureNode(home: string, flags: ConfigFlags, options: StartOptions = {}): Promise<NodeStart> {
  if (await nodeAnswers(home)) {
    await checkListen(home, flags)
    return { started: undefined, isNewHome: false }
  }
  requireProcessLimits('the node cannot be started', nodeThreads)
  const isNewHome = inspectHome(home) === undefined
  try {
    const started = await namingDisk(home, () => startOn(home, flags, options))
    return { started, isNewHome }
  } catch (error) {
    if (isNewHome) discardHome(home)
    throw error
  }
}

/** What was made for a first start that failed goes with it. */
function discardHome(home: string): void {
  if (isUnused(home)) rmSync(home, { recursive: true, force: true })
}

/** Work with a node that is started for it where none runs; where it fails, nothing of a first start stays. */
export async function withNode<T>(
  home: string,
  flags: ConfigFlags,
  options: StartOptions,
  work: (node: NodeStart) => Promise<T>,
): Promise<T> {
  const node = await ensureNode(home, flags, options)
  try {
    return await work(node)
  } catch (error) {
    if (node.isNewHome && node.started !== undefined && channelNames(home).length === 0) {
      await stopNode(home, node.started)
      discardHome(home)
    }
    throw error
  }
}

/** Stops a node that was started for this command alone. */
export async function stopNode(home: string, child: ChildProcess): Promise<void> {
  try {
    await callDaemon(home, 'stop', { force: false }, { timeoutMs: STOP_MS })
  } catch (error) {
    if (!isNoNode(error)) child.kill('SIGTERM')
  }
  const deadline = performance.now() + 15_000
  while (child.exitCode === null && child.signalCode === null && performance.now() < deadline) await sleep(POLL_MS)
}

/** Answers the node; undefined: another start was faster. */
async function startOn(home: string, flags: ConfigFlags, options: StartOptions): Promise<ChildProcess | undefined> {
  // A mistake in the settings is told at once, not by way of the log, and before anything is made.
  loadConfig(home, process.env, flags)
  openHome(home)
  const logPath = join(home, 'node.log')
  rotate(logPath)
  const log = openSync(logPath, 'a', 0o600)
  const logStart = fstatSync(log).size
  const notice = new StartNotice(() => lastWords(logPath, logStart))
  try {
    return await start(home, flags, options, { log, logPath, logStart })
  } finally {
    notice.end()
    closeSync(log)
  }
}

interface StartLog {
  readonly log: number
  readonly logPath: string
  /** Its length before the start. */
  readonly logStart: number
}

async function start(
  home: string,
  flags: ConfigFlags,
  { foreground = false, mounting }: StartOptions,
  { log, logPath, logStart }: StartLog,
): Promise<ChildProcess | undefined> {
  const child = spawn(
    process.execPath,
    [...process.execArgv, mainPath(), 'serve', '--home', home, ...flagWords({ ...flags, mounting })],
    {
      detached: true,
      cwd: '/',
      env: { ...nodeEnvironment(process.env), ...starterEnvironment },
      stdio: ['ignore', log, foreground ? 'inherit' : log, 'pipe'],
    },
  )
  const told = listen(child)
  let failure: Error | undefined
  child.once('error', error => (failure = error))
  const deadline = performance.now() + START_TIMEOUT_MS
  while (performance.now() < deadline) {
    if (await nodeAnswers(home)) {
      told.end()
      child.unref()
      return child
    }
    if (failure !== undefined) throw new RkfsError('failed', `the node cannot be started: ${systemError(failure)}`)
    if (child.exitCode !== null || child.signalCode !== null) {
      if (await answersWithin(home, OTHER_START_MS, child)) return undefined
      await told.whole()
      throw startError(child, home, foreground ? undefined : readLog(logPath, logStart), told.words)
    }
    await sleep(POLL_MS)
  }
  told.end()
  child.unref()
  throw new RkfsError(
    'timeout',
    `the node on ${home} does not answer yet, ${START_TIMEOUT_MS / 1000} s after its start: see ${logPath}`,
  )
}

/** What a node says to the command that starts it (`tellStarter`). Nothing of it keeps this process from ending. */
function listen(child: ChildProcess): { readonly words: string; whole(): Promise<unknown>; end(): void } {
  const pipe = child.stdio[starterDescriptor] as Socket | undefined
  let words = ''
  pipe?.setEncoding('utf8').on('data', (text: string) => (words += text))
  pipe?.on('error', () => undefined)
  const closed = new Promise(resolve => (pipe === undefined ? resolve(undefined) : pipe.once('close', resolve)))
  return {
    get words() {
      return words
    },
    whole: () => Promise.race([closed, sleep(WORDS_MS, undefined, { ref: false })]),
    end: () => pipe?.destroy(),
  }
}

export async function nodeAnswers(home: string): Promise<boolean> {
  try {
    await callDaemon(home, 'ping', {}, { timeoutMs: 15_000 })
    return true
  } catch (error) {
    if (isNoNode(error) || isLostNode(error)) return false
    throw error
  }
}

async function answersWithin(home: string, limitMs: number, child: ChildProcess): Promise<boolean> {
  // Only a lost race for the lock ends with this code; a wrong setting or port does not get better by waiting.
  if (child.exitCode !== exitCodes.failed) return false
  const deadline = performance.now() + limitMs
  while (performance.now() < deadline) {
    if (await nodeAnswers(home)) return true
    await sleep(POLL_MS)
  }
  return false
}

async function checkListen(home: string, flags: ConfigFlags): Promise<void> {
  if (flags.listen === undefined) return
  const { node } = await callDaemon(home, 'status', {}, { timeoutMs: 15_000 })
  if (node.listen === flags.listen || flags.listen.endsWith(':0')) return
  throw new RkfsError(
    'busy',
    `the node on ${home} runs already and listens on ${node.listen}: leave out --listen, or stop it first (rkfs stop)`,
  )
}

function flagWords(flags: ConfigFlags & { readonly mounting: string | undefined }): string[] {
  return Object.entries(flags).flatMap(([key, value]) =>
    value === undefined ? [] : [`--${key.replaceAll('_', '-')}`, String(value)],
  )
}

/** This program's entry, from `dist` or, under tsx, from `src`. */
export function mainPath(): string {
  return fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url))
}

function rotate(path: string): void {
  try {
    if (statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.1`)
  } catch {
    // No log yet.
  }
}

function readLog(path: string, start: number): string {
  try {
    return readFileSync(path).subarray(start).toString('utf8')
  } catch {
    return ''
  }
}

/** No node runs on it, and nothing of a channel is there. */
function isUnused(home: string): boolean {
  return runningHolder(home) === undefined && channelNames(home).length === 0
}

/** What the node logged last, for who waits. */
function lastWords(path: string, start: number): string | undefined {
  const line = readLog(path, start)
    .split('\n')
    .findLast(each => each.startsWith('{'))
  try {
    const { msg, channel } = JSON.parse(line ?? '') as { msg?: unknown; channel?: unknown }
    if (typeof msg !== 'string') return undefined
    return typeof channel === 'string' ? `${msg} (${channel})` : msg
  } catch {
    return undefined
  }
}

/** The node's last words: what it told (`tellStarter`), its own error line, or else the last line of the log. */
function startError(child: ChildProcess, home: string, log: string | undefined, told: string): RkfsError {
  const code =
    child.exitCode === exitCodes.usage ? 'usage' : child.exitCode === exitCodes.refused ? 'refused' : 'failed'
  if (log === undefined) return new RkfsError(code, 'the node did not start: its reason stands above')
  if (told !== '') return new RkfsError(code, told)
  const lines = log.split('\n').filter(line => line !== '')
  const said = lines.findLast(line => line.startsWith(startErrorPrefix))
  if (said !== undefined) return new RkfsError(code, said.slice(startErrorPrefix.length))
  const how = child.signalCode === null ? `code ${child.exitCode}` : `signal ${child.signalCode}`
  const last = lines.at(-1)?.slice(0, 300)
  const words = last === undefined ? '' : ` (${last})`
  return new RkfsError(code, `the node ended with ${how} while it started: see ${join(home, 'node.log')}${words}`)
}
