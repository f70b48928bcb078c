import { lstatSync } from 'node:fs'
import { createConnection } from 'node:net'
import { RkfsError } from '../base/errors.js'
import { MiB } from '../base/limits.js'
import { LineReader } from './control-lines.js'
import { controlSocketPath } from './control-path.js'
import type { ControlReply, ControlVerb, ControlVerbs, Progress } from './control-protocol.js'
import { silentWords } from './silent-node.js'

/** Replies come from a node of our own user; a report of many members is longer than any request. */
const REPLY_BYTES_MAX = 64 * MiB
/** A node that is not stuck answers a ping much sooner, whatever it works on. */
const PING_MS = 1000

export interface CallOptions {
  readonly onProgress?: (progress: Progress) => void
  readonly onItem?: (item: unknown) => void
  /** Undefined or 0: none. When it is over, the request is cancelled and the call fails with `timeout`. */
  readonly timeoutMs?: number
  /** A node that knows the limit and gives up by itself, with a reason, gets so much longer, unless it is silent by then. */
  readonly graceMs?: number
  /** Aborting cancels the request; the call then fails with the signal's reason. */
  readonly signal?: AbortSignal
}

/** Asks the node of this home. Fails with the node's own error, `timeout`, or `unavailable` (see `isNoNode`). */
export async function callDaemon<V extends ControlVerb>(
  home: string,
  verb: V,
  args: ControlVerbs[V]['args'],
  options: CallOptions = {},
): Promise<ControlVerbs[V]['result']> {
  try {
    return await call(home, verb, args, options)
  } catch (error) {
    if (!(error instanceof Late)) throw error
    const isSilent = verb === 'ping' || !(await answers(home))
    throw new RkfsError('timeout', isSilent ? silentWords(home) : slowWords(home, verb, error.limitMs))
  }
}

/** No answer came within the limit. */
class Late extends Error {
  readonly limitMs: number

  constructor(limitMs: number) {
    super(`no answer within ${limitMs} ms`)
    this.limitMs = limitMs
  }
}

/** Whether the node says anything at all; one that has gone does, too: whoever waits for it is told. */
async function answers(home: string): Promise<boolean> {
  try {
    await call(home, 'ping', {}, { timeoutMs: PING_MS })
    return true
  } catch (error) {
    return !(error instanceof Late)
  }
}

/** As `callDaemon`, but fails with `Late`. */
function call<V extends ControlVerb>(
  home: string,
  verb: V,
  args: ControlVerbs[V]['args'],
  options: CallOptions,
): Promise<ControlVerbs[V]['result']> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted()
    const socket = createConnection(controlSocketPath(home))
    const reader = new LineReader(REPLY_BYTES_MAX)
    let timer: NodeJS.Timeout | undefined
    let isOver = false
    const finish = (settle: () => void): void => {
      isOver = true
      clearTimeout(timer)
      options.signal?.removeEventListener('abort', aborted)
      socket.removeAllListeners('data').removeAllListeners('close')
      socket.destroy()
      settle()
    }
    const aborted = (): void => finish(() => reject(options.signal?.reason))
    options.signal?.addEventListener('abort', aborted)
    if (options.timeoutMs) {
      const { timeoutMs: limit, graceMs = 0 } = options
      const late = (): void => finish(() => reject(new Late(limit + graceMs)))
      const wait = async (): Promise<void> => {
        if (!(await answers(home))) late()
        else if (!isOver) timer = setTimeout(late, graceMs)
      }
      timer = setTimeout(() => (graceMs > 0 ? void wait() : late()), limit)
    }
    socket.on('error', error => finish(() => reject(connectionError(home, error))))
    socket.on('close', () => finish(() => reject(lost(home, verb))))
    socket.on('connect', () => socket.write(JSON.stringify({ verb, args }) + '\n'))
    socket.on('data', chunk => {
      const lines = reader.push(chunk)
      if (lines === 'too-long') return finish(() => reject(nonsense(home)))
      for (const line of lines) {
        const settle = takeReply(line, home, options, resolve as (result: unknown) => void, reject)
        if (settle !== undefined) return finish(settle)
      }
    })
  })
}

/** Handles one line; answers how to end the call if it is the last one. */
function takeReply(
  line: string,
  home: string,
  options: CallOptions,
  resolve: (result: unknown) => void,
  reject: (error: unknown) => void,
): (() => void) | undefined {
  let reply: ControlReply
  try {
    reply = JSON.parse(line) as ControlReply
  } catch {
    return () => reject(nonsense(home))
  }
  if (typeof reply !== 'object' || reply === null) return () => reject(nonsense(home))
  if ('progress' in reply) options.onProgress?.(reply.progress)
  else if ('item' in reply) options.onItem?.(reply.item)
  else if ('result' in reply) {
    const { result } = reply
    return () => resolve(result)
  } else if (typeof reply.error === 'object') {
    const { code, message } = reply.error
    return () => reject(new RkfsError(code, message))
  } else return () => reject(nonsense(home))
  return undefined
}

/** Whether a call failed because no node runs on that home (in contrast to an error that a node answered). */
export function isNoNode(error: unknown): boolean {
  if (!(error instanceof RkfsError) || error.code !== 'unavailable') return false
  const cause = error.cause as NodeJS.ErrnoException | undefined
  return cause?.syscall === 'connect'
}

/** Whether the node went away in the middle of a call. One that was killed a moment ago may still have taken the connection. */
export function isLostNode(error: unknown): boolean {
  return (
    error instanceof RkfsError &&
    error.cause instanceof Error &&
    'syscall' in error.cause &&
    error.cause.syscall === 'read'
  )
}

export function noNodeMessage(home: string): string {
  return `no node is running on ${home}: start it with \`rkfs serve\` or \`rkfs mount <channel> <dir>\``
}

function connectionError(home: string, error: NodeJS.ErrnoException): RkfsError {
  if (error.syscall === 'connect') {
    switch (error.code) {
      case 'ENOENT':
      case 'ECONNREFUSED':
      case 'ENOTDIR':
        return new RkfsError('unavailable', noNodeMessage(home), { cause: error })
      case 'EACCES':
      case 'EPERM':
        return notAdmitted(home, error)
    }
  }
  return new RkfsError('failed', `the connection to the node on ${home} broke: ${error.message}`, { cause: error })
}

/** The socket of another user's node, or a home that this user may not look into, whether there is a node or not. */
function notAdmitted(home: string, cause: NodeJS.ErrnoException): RkfsError {
  const words = isThere(controlSocketPath(home))
    ? `the node on ${home} is another user's: run rkfs as that user`
    : `the home ${home} cannot be reached: permission denied: run rkfs as its owner, or choose another one with --home`
  return new RkfsError('failed', words, { cause })
}

function isThere(path: string): boolean {
  try {
    lstatSync(path)
    return true
  } catch {
    return false
  }
}

function lost(home: string, verb: ControlVerb): RkfsError {
  return new RkfsError(
    'failed',
    `the node on ${home} went away during "${verb}": see its log (${home}/node.log, or where \`rkfs serve\` runs)`,
    { cause: Object.assign(new Error('end of file'), { syscall: 'read' }) },
  )
}

function slowWords(home: string, verb: ControlVerb, limitMs: number): string {
  return `the node on ${home} did not finish "${verb}" within ${Math.round(limitMs / 1000)} s: see \`rkfs status\`, or allow more with --timeout where the command has it`
}

function nonsense(home: string): RkfsError {
  return new RkfsError('failed', `what answers on the control socket of ${home} is not a node of this version of rkfs`)
}
