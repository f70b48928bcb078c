import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, openSync, closeSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FailingCalls } from './failing-calls.js'
import { Machine, mainPath, until, type Place } from '../../e2e/support/cluster.js'

/** Debian's faketime: what `Member.clock` needs. */
export const fakeTime = [
  `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketimeMT.so.1`,
].find(path => existsSync(path))

export interface MemberOptions {
  /** For `rkfs mount -o`. */
  readonly mountOptions: string
  /** The home stands on a disk of its own of this size, in MiB. */
  readonly diskMiB?: number
  /** More lines of config.toml. */
  readonly settings?: string
  /** Its calls to the disk can be made to fail. */
  readonly failingCalls?: FailingCalls
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A machine whose node is a process of ours: its end is noticed, and its clock and its disk can be tampered with. */
export class Member extends Machine {
  readonly log: string
  wasKilled = false
  /** Ends of the node that nobody asked for. */
  readonly crashes: string[] = []
  readonly #options: MemberOptions
  readonly #clock: string
  #node: { readonly child: ChildProcess; readonly ended: Promise<Ended> } | undefined
  #endWanted = false
  #paused = false

  constructor(root: string, name: string, place: Place, options: MemberOptions) {
    super(root, name, place)
    this.#options = options
    this.log = join(root, `${name}.log`)
    this.#clock = join(root, `${name}.clock`)
    const config = readFileSync(join(this.home, 'config.toml'), 'utf8') + (options.settings ?? '')
    if (options.diskMiB !== undefined) {
      const size = `size=${options.diskMiB}m,mode=700`
      const { status, stderr } = spawnSync('mount', [
        '-t',
        'tmpfs',
        '-o',
        size,
        `rkfs-faults-${process.pid}`,
        this.home,
      ])
      if (status !== 0) throw new Error(`a disk for ${name}: ${String(stderr)}`)
    }
    writeFileSync(join(this.home, 'config.toml'), config)
    writeFileSync(this.#clock, '+0')
  }

  get nodePid(): number | undefined {
    return this.#node?.child.pid
  }

  get running(): boolean {
    return this.#node !== undefined
  }

  get paused(): boolean {
    return this.#paused
  }

  get onSmallDisk(): boolean {
    return this.#options.diskMiB !== undefined
  }

  /** Starts the node and waits until it answers; mounts, too, once the channel is there. */
  async start(): Promise<void> {
    const [program, ...words] = [...this.place.enter, process.execPath, mainPath, 'serve', '--home', this.home]
    const log = openSync(this.log, 'a')
    const child = spawn(program!, words, {
      cwd: '/',
      stdio: ['ignore', log, log],
      env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', ...this.#preloaded() },
    })
    closeSync(log)
    const ended = new Promise<Ended>(resolve => child.once('exit', (code, signal) => resolve({ code, signal })))
    this.#node = { child, ended }
    this.#endWanted = false
    if (child.pid !== undefined) this.pids.add(child.pid)
    void ended.then(({ code, signal }) => {
      if (!this.#endWanted) this.crashes.push(`${this.name}: ${signal ?? `code ${code}`}: ${this.lastWords()}`)
      if (this.#node?.child === child) this.#node = undefined
    })
    await until(`the node of ${this.name} answers`, async () => {
      if (this.#node === undefined) throw new Error(`the node of ${this.name} ended: ${this.lastWords()}`)
      return (await this.report()) !== undefined
    })
    if ((await this.status()) !== undefined) await this.mountAgain()
  }

  async mountAgain(): Promise<void> {
    // harmless where it is mounted; what a crash left dead comes back with the node, or by this
    await this.mount('-o', this.#options.mountOptions)
  }

  /** SIGKILL. */
  async crash(): Promise<void> {
    if (this.#node === undefined) return
    const { child, ended } = this.#node
    this.#endWanted = true
    this.#paused = false
    this.wasKilled = true
    child.kill('SIGKILL')
    await ended
  }

  /** SIGTERM; answers the exit code, or the signal that had to help. */
  async terminate(limitSeconds = 30): Promise<string> {
    if (this.#node === undefined) throw new Error(`no node runs on ${this.name}`)
    const { child, ended } = this.#node
    this.#endWanted = true
    child.kill('SIGTERM')
    const end = await Promise.race([ended, sleep(limitSeconds * 1000, undefined, { ref: false })])
    if (end === undefined) return `still there after ${limitSeconds} s`
    return String(end.signal ?? end.code)
  }

  /** From now on the node may end as it likes. */
  release(): void {
    this.#endWanted = true
    this.resume()
  }

  pause(): void {
    this.#paused = true
    this.#node?.child.kill('SIGSTOP')
  }

  resume(): void {
    this.#paused = false
    this.#node?.child.kill('SIGCONT')
  }

  /** From now on the machine's clock is that far ahead, or behind; the monotonic clock is not touched. */
  clock(offsetSeconds: number): void {
    writeFileSync(this.#clock, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}`)
  }

  /** Not a byte is left on the disk. */
  fillDisk(): void {
    let pieces = 0
    for (const size of [8 << 20, 1 << 20, 64 << 10, 4096]) {
      for (;;) {
        try {
          writeFileSync(join(this.home, `ballast-${pieces++}`), new Uint8Array(size))
        } catch {
          break
        }
      }
    }
  }

  freeDisk(): void {
    for (const name of readdirSync(this.home)) if (name.startsWith('ballast-')) rmSync(join(this.home, name))
  }

  /** Lines of the node's log at these levels, as parsed JSON. */
  logLines(...levels: string[]): { readonly level: string; readonly msg: string }[] {
    return readFileSync(this.log, 'utf8')
      .split('\n')
      .flatMap(line => {
        try {
          const parsed = JSON.parse(line) as { level: string; msg: string }
          return levels.includes(parsed.level) ? [parsed] : []
        } catch {
          return []
        }
      })
  }

  lastWords(): string {
    return readFileSync(this.log, 'utf8').trim().split('\n').slice(-3).join(' | ').slice(-1000)
  }

  #preloaded(): Record<string, string> {
    return this.#options.failingCalls?.environment ?? this.#clockEnvironment()
  }

  #clockEnvironment(): Record<string, string> {
    if (fakeTime === undefined) return {}
    return {
      LD_PRELOAD: fakeTime,
      FAKETIME_TIMESTAMP_FILE: this.#clock,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      // files keep their true times: a jump is the clock's, not the disk's
      NO_FAKE_STAT: '1',
    }
  }
}
