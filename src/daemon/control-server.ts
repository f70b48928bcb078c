import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { messageOf, RkfsError } from '../base/errors.js'
import { isSystemError, machineWords } from '../base/system-error.js'
import { MiB } from '../base/limits.js'
import { checkArguments, isControlVerb } from './control-arguments.js'
import { controlLineBytesMax, LineReader } from './control-lines.js'
import type { ControlReply, ControlVerb, ControlVerbs, Progress } from './control-protocol.js'
import type { Log } from './log.js'

const CONNECTIONS_MAX = 64
/** `item` waits while more than this is queued for a client that does not read. */
const QUEUE_BYTES = MiB
/** A client that lets this much pile up (from handlers that do not wait for `item`) is cut off. */
const QUEUE_BYTES_MAX = 16 * MiB
/** How long `stop` lets requests finish after it has cancelled them. */
const STOP_GRACE_MS = 1000

export interface ControlContext {
  progress(progress: Progress): void
  /** Sends one item. Resolves when there is room for the next, or the client is gone; never rejects. */
  item(item: unknown): Promise<void>
  /** Aborted when the client is gone or the node stops. */
  readonly signal: AbortSignal
}

export type ControlHandlers = {
  [V in ControlVerb]: (args: ControlVerbs[V]['args'], context: ControlContext) => Promise<ControlVerbs[V]['result']>
}

/**
 * Serves the control socket: one request a connection, answered by its verb's handler. A handler's RkfsError reaches the
 * client with its code and message; anything else it throws is a fault of ours: code `failed`, the stack in the log.
 */
export class ControlServer {
  readonly #path: string
  readonly #handlers: ControlHandlers
  readonly #log: Log
  readonly #requestTimeoutMs: number
  readonly #connections = new Map<Socket, AbortController>()
  #server: Server | undefined
  #stopping = false

  /** `path`: from `controlSocketPath`. A connection that has not sent its request within `requestTimeoutMs` is closed. */
  constructor(path: string, handlers: ControlHandlers, log: Log, requestTimeoutMs = 10_000) {
    this.#path = path
    this.#handlers = handlers
    this.#log = log
    this.#requestTimeoutMs = requestTimeoutMs
  }

  /** INVARIANT: the caller holds the home's lock, so that a socket file that is there is a dead node's. */
  async start(): Promise<void> {
    rmSync(this.#path, { force: true })
    const server = createServer(socket => this.#accept(socket))
    await new Promise<void>((resolve, reject) => {
      const failed = (error: Error): void =>
        reject(
          new RkfsError('failed', `the control socket ${this.#path} cannot be opened: ${error.message}`, {
            cause: error,
          }),
        )
      server.once('error', failed)
      server.listen(this.#path, () => {
        server.off('error', failed)
        server.on('error', error => this.#log.error('control socket', { error }))
        resolve()
      })
    })
    // The folder it stands in is closed to others, so that nobody was able to connect before this line.
    chmodSync(this.#path, 0o600)
    this.#server = server
  }

  /** Cancels what is under way, gives it a moment to answer, and closes. Twice without harm. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    this.#stopping = true
    // close() removes the socket file, too.
    const closed = new Promise<void>(resolve => server.close(() => resolve()))
    for (const controller of this.#connections.values()) controller.abort()
    const timer = setTimeout(() => {
      for (const socket of this.#connections.keys()) socket.destroy()
    }, STOP_GRACE_MS)
    await closed
    clearTimeout(timer)
  }

  #accept(socket: Socket): void {
    // A client that goes away is no fault; 'close' follows.
    socket.on('error', () => {})
    if (this.#connections.size >= CONNECTIONS_MAX || this.#stopping) {
      const message = this.#stopping ? 'the node is stopping' : 'too many commands at once: try again'
      socket.end(line({ error: { code: 'unavailable', message } }))
      socket.destroySoon()
      return
    }
    const controller = new AbortController()
    this.#connections.set(socket, controller)
    socket.on('close', () => {
      clearTimeout(timer)
      this.#connections.delete(socket)
      controller.abort()
    })
    const reader = new LineReader(controlLineBytesMax)
    let asked = false
    // a node that was busy all the time has not looked yet whether the request is there
    const closeSilent = (): void => void setImmediate(() => !asked && socket.destroy())
    const timer = setTimeout(closeSilent, this.#requestTimeoutMs)
    socket.on('data', chunk => {
      // One request a connection; what follows it is nobody's.
      if (asked) return
      const lines = reader.push(chunk)
      if (lines.length === 0) return
      asked = true
      clearTimeout(timer)
      const answer =
        lines === 'too-long'
          ? Promise.resolve(failure('usage', `a request is at most ${controlLineBytesMax} bytes long`))
          : this.#answer(lines[0]!, socket, controller.signal)
      void answer.then(reply => socket.end(line(reply), () => socket.destroySoon()))
    })
  }

  /** Never rejects. */
  async #answer(text: string, socket: Socket, signal: AbortSignal): Promise<ControlReply> {
    let verb: unknown = '?'
    try {
      const request = parseRequest(text)
      verb = request.verb
      if (!isControlVerb(verb)) {
        const given = typeof verb === 'string' ? JSON.stringify(verb.slice(0, 100)) : 'such a request'
        throw new RkfsError('usage', `the node (another version of rkfs?) does not know ${given}`)
      }
      const result = await this.#call(verb, request.args, {
        progress: progress => void send(socket, { progress }),
        item: item => send(socket, { item }),
        signal,
      })
      return { result: result ?? {} }
    } catch (error) {
      if (error instanceof RkfsError) return failure(error.code, error.message)
      if (signal.aborted) return failure('failed', 'cancelled')
      if (isSystemError(error)) {
        this.#log.error('a command failed, since this machine refused something', { verb, error })
        return failure('failed', machineWords(error))
      }
      this.#log.error('a command failed for a fault of rkfs', { verb, error })
      return failure('failed', `${messageOf(error)} (a fault of rkfs: the node's log has more)`)
    }
  }

  #call<V extends ControlVerb>(verb: V, args: unknown, context: ControlContext): Promise<ControlVerbs[V]['result']> {
    return this.#handlers[verb](checkArguments(verb, args), context)
  }
}

/** Two paths of the greatest length fit. */
const messagePartMax = 5000

function parseRequest(text: string): { verb: unknown; args: unknown } {
  let request: unknown
  try {
    request = JSON.parse(text)
  } catch (error) {
    throw new RkfsError('usage', 'the request is not JSON', { cause: error })
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw new RkfsError('usage', 'the request is not an object')
  }
  const { verb, args } = request as { verb?: unknown; args?: unknown }
  return { verb, args: args ?? {} }
}

function failure(code: RkfsError['code'], message: string): ControlReply {
  return { error: { code, message: shortened(message.replace(/\s*\n\s*/g, ' ')) } }
}

/** What a message quotes may be as long as a request. Its end says what to do. */
function shortened(message: string): string {
  if (message.length <= 2 * messagePartMax) return message
  return `${message.slice(0, messagePartMax)} … ${message.slice(-messagePartMax)}`
}

function line(reply: ControlReply): string {
  return JSON.stringify(reply) + '\n'
}

async function send(socket: Socket, reply: ControlReply): Promise<void> {
  if (socket.destroyed || !socket.writable) return
  socket.write(line(reply))
  if (socket.writableLength > QUEUE_BYTES_MAX) {
    socket.destroy()
    return
  }
  if (socket.writableLength <= QUEUE_BYTES) return
  await new Promise<void>(resolve => {
    const done = (): void => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}
