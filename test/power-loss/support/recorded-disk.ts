import { fork, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deserialize } from 'node:v8'
import { isMounted, until } from '../../e2e/support/cluster.js'
import { type DiskEvent, marksName } from './disk-event.js'

/** Where files go that need no disk. */
const memory = '/dev/shm'

/** A disk that records what reaches it, in a process of its own: nothing here looks into it but by child processes. */
export class RecordedDisk {
  readonly root: string
  readonly directory: string
  readonly #child: ChildProcess
  #saved: { saved: number; errors: number } | undefined
  #mounted = false
  #exited = false

  private constructor() {
    this.root = mkdtempSync(join(memory, 'rkfs-power.'))
    this.directory = join(this.root, 'disk')
    mkdirSync(this.directory)
    const main = fileURLToPath(new URL('./recorder-main.ts', import.meta.url))
    this.#child = fork(main, [this.directory], { execArgv: ['--import', import.meta.resolve('tsx')] })
    this.#child.on('exit', () => (this.#exited = true))
    this.#child.on('message', (message: { mounted?: true; saved?: number; errors?: number }) => {
      if (message.mounted) this.#mounted = true
      else this.#saved = message as { saved: number; errors: number }
    })
  }

  static async mount(): Promise<RecordedDisk> {
    const disk = new RecordedDisk()
    await until('the recorded disk is mounted', () => disk.#mounted || disk.#exited)
    if (disk.#exited) throw new Error('the recorder ended')
    disk.#shell('mkdir "$0"', disk.marks)
    return disk
  }

  /** A directory made here is a mark in the record. */
  get marks(): string {
    return join(this.directory, marksName)
  }

  #shell(script: string, ...args: string[]): void {
    const { status, stderr } = spawnSync('timeout', ['-k', '1', '10', '/bin/sh', '-ec', script, ...args], {
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`${script}: ${stderr}`)
  }

  /** A folder on the disk, on stable storage. */
  folder(name: string): string {
    const path = join(this.directory, name)
    this.#shell('mkdir -m 700 "$0"', path)
    this.sync(path)
    return path
  }

  /** Copies what is in another folder into one on the disk, to stable storage. */
  fill(path: string, from: string): void {
    this.#shell('cp -r "$1/." "$0"; find "$0" -depth -exec sync {} +', path, from)
  }

  /** A folder, and the ones above it, is on stable storage. */
  sync(path: string): void {
    for (let at = path; at.startsWith(this.directory); at = dirname(at)) this.#shell('sync "$0"', at)
  }

  /** All that reached the disk so far. */
  async record(): Promise<DiskEvent[]> {
    this.#saved = undefined
    const path = join(this.root, 'record')
    this.#child.send({ save: path })
    await until('the record', () => this.#saved !== undefined)
    if (this.#saved!.errors > 0) throw new Error('the recorded disk answered with a fault of its own')
    return deserialize(readFileSync(path)) as DiskEvent[]
  }

  async close(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect()
    await until('the recorder ends', () => this.#exited, 15).catch(() => this.#child.kill('SIGKILL'))
    if (isMounted(this.directory)) spawnSync('umount', ['-l', '-i', '-c', this.directory], { timeout: 10_000 })
    rmSync(this.root, { recursive: true, force: true })
  }
}
