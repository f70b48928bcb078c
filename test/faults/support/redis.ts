import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Debian's redis-tools has the server, too: one program that looks at the name it is called by. So no service of that name
 * needs to be installed.
 */
const program = '/usr/bin/redis-check-rdb'
export const redisSkip = !existsSync(program) && 'needs redis (Debian: redis-tools)'

const startSeconds = 30
const endSeconds = 10
/** Small, so that the append-only file is written anew and renamed many times under load. */
const rewriteBytes = 64 * 1024

const settings = (directory: string, socket: string): string[] =>
  [
    ['--port', '0', '--unixsocket', socket, '--unixsocketperm', '600', '--dir', directory],
    ['--appendonly', 'yes', '--appendfsync', 'always', '--no-appendfsync-on-rewrite', 'no', '--save', ''],
    ['--auto-aof-rewrite-min-size', String(rewriteBytes), '--auto-aof-rewrite-percentage', '100'],
  ].flat()

/** A redis-server whose append-only file is in `directory`: each SET that it answers OK has been synced. */
export class Redis {
  readonly #socket: string
  readonly #log: string
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  #isRunning = true

  private constructor(directory: string, outside: string) {
    this.#socket = `${outside}.sock`
    this.#log = `${outside}.log`
    const log = openSync(this.#log, 'a')
    this.#child = spawn(program, settings(directory, this.#socket), {
      argv0: 'redis-server',
      cwd: '/',
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    this.#ended = new Promise(resolve =>
      this.#child.once('exit', () => {
        this.#isRunning = false
        resolve()
      }),
    )
  }

  /** Answers when it serves what it has found. `outside`: the beginning of the paths of its socket and its log. */
  static async start(directory: string, outside: string): Promise<Redis> {
    const redis = new Redis(directory, outside)
    const end = performance.now() + startSeconds * 1000
    for (;;) {
      if (!redis.#isRunning) throw new Error(`redis-server ended: ${redis.lastWords()}`)
      const answer = await redis.#once('PING')
      if (answer === '+PONG') return redis
      if (performance.now() > end) throw new Error(`redis-server does not serve: ${answer}; ${redis.lastWords()}`)
      await sleep(50)
    }
  }

  async #once(...words: string[]): Promise<string> {
    try {
      const connection = await this.connect()
      try {
        return (await connection.call(...words)) ?? 'nil'
      } finally {
        connection.close()
      }
    } catch (error) {
      return String(error)
    }
  }

  /** Fails when nobody listens. */
  connect(): Promise<Connection> {
    return Connection.open(this.#socket)
  }

  /** SIGKILL: it writes nothing any more. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    const late = sleep(endSeconds * 1000, 'late', { ref: false })
    if ((await Promise.race([this.#ended, late])) === 'late') throw new Error('redis-server cannot be killed')
  }

  lastWords(): string {
    return readFileSync(this.#log, 'utf8').trim().split('\n').slice(-6).join(' | ')
  }
}

/** One client of a redis-server: one command after the other. */
export class Connection {
  readonly #socket: Socket
  #input = Buffer.alloc(0)
  #waiting: { resolve(answer: string | undefined): void; reject(error: Error): void } | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', data => {
      this.#input = Buffer.concat([this.#input, data])
      this.#answer()
    })
    const ended = (): void => this.#waiting?.reject(new Error('the connection ended'))
    socket.on('error', ended).on('close', ended)
  }

  static open(path: string): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect(path)
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.removeListener('error', reject)
        resolve(new Connection(socket))
      })
    })
  }

  /** The answer's line with its type before it (`+OK`), or the string that it holds; undefined for nil. */
  call(...words: string[]): Promise<string | undefined> {
    const parts = words.map(word => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      if (this.#socket.destroyed) return reject(new Error('the connection ended'))
      this.#socket.write(`*${words.length}\r\n${parts.join('')}`)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #answer(): void {
    const lineEnd = this.#input.indexOf('\r\n')
    if (lineEnd === -1) return
    const line = this.#input.toString('latin1', 0, lineEnd)
    let answer: string | undefined = line
    let end = lineEnd + 2
    if (line.startsWith('$')) {
      const length = Number(line.slice(1))
      answer = undefined
      if (length >= 0) {
        if (this.#input.length < end + length + 2) return
        answer = this.#input.toString('latin1', end, end + length)
        end += length + 2
      }
    }
    this.#input = this.#input.subarray(end)
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve(answer)
  }
}
