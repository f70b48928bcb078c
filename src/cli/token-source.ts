import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { RkfsError } from '../base/errors.js'
import { readError } from '../base/system-error.js'
import { hint } from './output.js'

/** Far above a token's length, which `decodeToken` checks. */
const inputCharsMax = 64 * 1024
/** Between two looks at a named pipe that nobody has written into yet. */
const pipePollMs = 50

export interface TokenSource {
  /** Given as an argument: everybody on the machine could read it. */
  readonly argument?: string | undefined
  /** `--token-file`. */
  readonly file?: string | undefined
}

/**
 * The token: from the argument, the file, or standard input, where it is asked for without an echo on a terminal. Throws
 * `usage` when there is none or more than one, `timeout` when none comes within `timeoutMs` (0: no limit).
 */
export async function tokenFrom({ argument, file }: TokenSource, timeoutMs: number): Promise<string> {
  if (argument !== undefined && file !== undefined) {
    throw new RkfsError('usage', 'there are two tokens, an argument and a --token-file: leave one out')
  }
  if (argument !== undefined) return argument
  if (file !== undefined) return fromFile(file, timeoutMs)
  if (process.stdin.isTTY) return ask(timeoutMs)
  const timer = after(timeoutMs, 'standard input', error => process.stdin.destroy(error))
  try {
    return await onlyLine(process.stdin.setEncoding('utf8') as AsyncIterable<string>, 'standard input')
  } finally {
    clearTimeout(timer)
  }
}

async function fromFile(path: string, timeoutMs: number): Promise<string> {
  let handle: FileHandle | undefined
  try {
    // the open of a named pipe would wait for its writer, where no time limit reaches it (fifo(7))
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await handle.stat()
    if (stats.isFile() && (stats.mode & 0o077) !== 0) {
      hint(`others on this machine can read the token in ${path}: chmod 600 ${path}`)
    }
    if (stats.isFIFO()) return await onlyLine(piped(handle, path, timeoutMs), path)
    return await onlyLine(handle.createReadStream({ autoClose: false, encoding: 'utf8' }), path)
  } catch (cause) {
    if (cause instanceof RkfsError) throw cause
    throw new RkfsError('usage', `the token file ${path} cannot be read: ${readError(cause)}`, { cause })
  } finally {
    await handle?.close()
  }
}

/** What comes through a named pipe, from its first writer's first byte to its last writer's end. */
async function* piped(handle: FileHandle, path: string, timeoutMs: number): AsyncGenerator<string> {
  const end = timeoutMs === 0 ? Infinity : performance.now() + timeoutMs
  const buffer = Buffer.alloc(inputCharsMax)
  for (let isBegun = false; ;) {
    // undefined: it has a writer, who has written nothing
    const count = await handle.read(buffer, 0, buffer.length).then(
      ({ bytesRead }) => bytesRead,
      (error: NodeJS.ErrnoException) => (error.code === 'EAGAIN' ? undefined : Promise.reject(error)),
    )
    if (count !== undefined && count > 0) {
      isBegun = true
      yield buffer.toString('utf8', 0, count)
    } else if (count === 0 && isBegun) {
      return
    } else if (performance.now() > end) {
      throw late(path, timeoutMs)
    } else {
      await sleep(pipePollMs)
    }
  }
}

function late(where: string, ms: number): RkfsError {
  return new RkfsError('timeout', `no token came from ${where} within ${ms / 1000} s`)
}

function after(ms: number, where: string, give: (error: RkfsError) => void): NodeJS.Timeout | undefined {
  if (ms === 0) return undefined
  return setTimeout(() => give(late(where, ms)), ms)
}

/** The one line of text that comes from there, up to its end or the end of the line. */
async function onlyLine(input: AsyncIterable<string>, where: string): Promise<string> {
  let text = ''
  for await (const part of input) {
    text += part
    if (text.length > inputCharsMax) throw new RkfsError('usage', `what comes from ${where} is too long for a token`)
    if (/\S\s*\n/.test(text)) break
  }
  const [token, another] = text.split(/\s+/).filter(word => word !== '')
  if (another !== undefined) throw new RkfsError('usage', `more than one word comes from ${where}: give one token`)
  if (token === undefined) {
    throw new RkfsError(
      'usage',
      `no token comes from ${where}: give what \`rkfs member invite\` printed, there or with --token-file FILE`,
    )
  }
  return token
}

/** Asks on the terminal; what is typed or pasted is not shown. */
function ask(timeoutMs: number): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const input = createInterface({ input: process.stdin, output: nowhere, terminal: true, historySize: 0 })
  // not before the terminal's echo is off: who pastes at once would see the token
  process.stderr.write('token (it is not shown): ')
  return new Promise<string>((resolve, reject) => {
    const end = (result: string | RkfsError): void => {
      clearTimeout(timer)
      input.removeAllListeners('close').close()
      process.stderr.write('\n')
      if (typeof result === 'string') resolve(result)
      else reject(result)
    }
    const none = (): void => end(new RkfsError('usage', 'no token was given'))
    const timer = after(timeoutMs, 'the terminal', end)
    input.once('line', line => (line.trim() === '' ? none() : end(line.trim())))
    input.once('SIGINT', none)
    input.once('close', none)
  })
}
