import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loader } from '../conformance/kit/loader.js'
import { until } from '../e2e/support/cluster.js'
import type { ClientOptions } from './client.js'
import type { FileInput, FileOperation, FileOutput } from './file-model.js'
import { historyOf, parseLines, type HistoryLine } from './history.js'

export interface WorkloadOptions {
  /** For histories, of this workload alone; made if it is not there. Not in a mount. */
  readonly folder: string
  /** Mount points of the members of one channel. Each must lie in another file system than its parent directory. */
  readonly directories: readonly string[]
  readonly clientsEach: number
  readonly seed: number
  /** A folder in the mount, made here, that nobody else uses; the mount's root if it is left out. */
  readonly within?: string
  /** Whether each call is waited for with fsync: what holds even if the leader dies. The default. */
  readonly isConfirmed?: boolean
  /**
   * Leaves out what is written in place: of that, a program sees what is on its way from its own mount, which the others
   * do not.
   */
  readonly namesOnly?: boolean
  /** Between two calls of a client, on average. */
  readonly pauseMs?: number
}

/** A call that waits for a member longer than its mount's `timeout` is stuck. */
const stopSeconds = 20

/**
 * Clients that work on a few names of a channel through several mounts, each in a process of its own, and record what
 * they were told. Mounts may end and come back meanwhile.
 *
 *     const workload = await Workload.start({ folder, directories, clientsEach: 2, seed: 1 })
 *     …                                       // faults
 *     const history = await workload.stop()
 *     check(fileModel, history)
 */
export class Workload {
  readonly #options: WorkloadOptions
  readonly #stopFile: string
  readonly #children: ChildProcess[] = []
  readonly #historyFiles: string[] = []

  private constructor(options: WorkloadOptions) {
    this.#options = options
    this.#stopFile = join(options.folder, 'stop')
  }

  /** Returns when the names are made and all clients have been told something. All mounts must work. */
  static async start(options: WorkloadOptions): Promise<Workload> {
    mkdirSync(options.folder, { recursive: true })
    const workload = new Workload(options)
    try {
      const setup = workload.#client('setup', options.directories[0]!, 0, true)
      await until('the names are made', () => setup.exitCode !== null || setup.signalCode !== null, stopSeconds)
      if (setup.exitCode !== 0) throw new Error('the names could not be made')
      for (const [at, directory] of options.directories.entries()) {
        for (let i = 0; i < options.clientsEach; i++) {
          const number = at * options.clientsEach + i
          workload.#client(`m${at}c${i}`, directory, options.seed * 1000 + number + 1, false)
        }
      }
      await until('all clients work', () => workload.#historyFiles.every(file => returnsIn(file) > 2), stopSeconds)
    } catch (error) {
      workload.kill()
      throw error
    }
    return workload
  }

  /** Calls that have returned, of all clients. */
  get returned(): number {
    return this.#historyFiles.reduce((sum, file) => sum + returnsIn(file), 0)
  }

  /** Lets every client finish its call; one that does not is killed, and its call is of unknown outcome. */
  async stop(): Promise<readonly FileOperation[]> {
    writeFileSync(this.#stopFile, '')
    const isEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null
    await until('all clients end', () => this.#children.every(isEnded), stopSeconds).catch(() => this.kill())
    const failed = this.#children.find(child => child.exitCode !== null && child.exitCode !== 0)
    if (failed !== undefined) throw new Error(`a client ended with code ${failed.exitCode}`)
    return historyOf(this.lines())
  }

  /** What was recorded; with `saveLines`, to be checked again with `check.ts`. */
  lines(): readonly HistoryLine<FileInput, FileOutput>[] {
    return this.#historyFiles.flatMap(file => parseLines<FileInput, FileOutput>(readFileSync(file, 'utf8')))
  }

  /** Synchronous, for the end of a test. */
  kill(): void {
    for (const child of this.#children) child.kill('SIGKILL')
  }

  #client(client: string, directory: string, seed: number, isSetup: boolean): ChildProcess {
    const historyFile = join(this.#options.folder, `${client}.jsonl`)
    writeFileSync(historyFile, '')
    const { isConfirmed = true, namesOnly = false, pauseMs = 4, within = '' } = this.#options
    const options: ClientOptions = {
      client,
      directory,
      historyFile,
      stopFile: this.#stopFile,
      seed,
      isSetup,
      isConfirmed,
      namesOnly,
      pauseMs,
      within,
    }
    const script = fileURLToPath(new URL('client.ts', import.meta.url))
    const child = spawn(process.execPath, [...loader, script, JSON.stringify(options)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    this.#children.push(child)
    this.#historyFiles.push(historyFile)
    return child
  }
}

function returnsIn(file: string): number {
  return readFileSync(file, 'utf8').split('"return"').length - 1
}
