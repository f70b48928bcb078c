import { spawn, spawnSync, type ChildProcess, type SpawnSyncReturns } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const LINE_TIMEOUT_MS = 20_000

/** Mount tests need root and the device; without them they are skipped. */
export const canMount = process.geteuid?.() === 0 && existsSync('/dev/fuse')

export function isMounted(directory: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${directory} `)
}

/** Waits for a condition, not for a time. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = Date.now() + LINE_TIMEOUT_MS
  while (!condition()) {
    if (Date.now() > end) throw new Error(`timed out: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

/** A daemon in a process of its own, mounted at a temporary directory. Clients are other processes under a time limit. */
export class TestMount {
  readonly directory: string
  readonly child: ChildProcess
  readonly lines: string[] = []
  exited = false

  constructor(directory = mkdtempSync(join(tmpdir(), 'rkfs-mount-')), args: string[] = []) {
    this.directory = directory
    const daemon = fileURLToPath(new URL('./daemon.ts', import.meta.url))
    this.child = spawn(process.execPath, ['--import', 'tsx', daemon, directory, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.child.on('exit', () => (this.exited = true))
    createInterface({ input: this.child.stdout! }).on('line', line => this.lines.push(line))
  }

  /** The next line that matches, taken out. */
  async line(pattern: RegExp): Promise<string> {
    await until(() => this.lines.some(line => pattern.test(line)), `${pattern} in ${JSON.stringify(this.lines)}`)
    const at = this.lines.findIndex(line => pattern.test(line))
    return this.lines.splice(at, 1)[0]!
  }

  async command(text: string, answer = /^done$/): Promise<string> {
    this.child.stdin!.write(text + '\n')
    return this.line(answer)
  }

  /** Runs a shell script inside the mount, 20 s at most. */
  shell(script: string): SpawnSyncReturns<string> {
    return spawnSync('timeout', ['-k', '1', '20', '/bin/bash', '-ec', `cd "$0"; ${script}`, this.directory], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    })
  }

  python(script: string): SpawnSyncReturns<string> {
    const [program, ...args] = this.#python(script)
    return spawnSync(program!, args, { encoding: 'utf8' })
  }

  #python(script: string): string[] {
    const prelude = 'import os,sys,mmap,time\nos.chdir(sys.argv[1])\n'
    return ['timeout', '-k', '1', '60', 'python3', '-c', prelude + script, this.directory]
  }

  /** A program beside the test, which can wait for a line of it. */
  pythonBeside(script: string): {
    line(pattern: RegExp): Promise<void>
    readonly end: Promise<{ stdout: string; stderr: string; status: number | null }>
  } {
    const [program, ...args] = this.#python(script)
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()))
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
    const end = new Promise<{ stdout: string; stderr: string; status: number | null }>(resolve =>
      child.on('close', status => resolve({ stdout, stderr, status })),
    )
    const line = (pattern: RegExp): Promise<void> =>
      until(() => stdout.split('\n').some(text => pattern.test(text)), `${pattern} in ${stdout}${stderr}`)
    return { line, end }
  }

  /** Leaves nothing behind, whatever the state. */
  async close(): Promise<void> {
    this.child.stdin!.end()
    const end = Date.now() + 10_000
    while (!this.exited && Date.now() < end) await new Promise(resolve => setTimeout(resolve, 10))
    if (!this.exited) this.child.kill('SIGKILL')
    while (isMounted(this.directory)) {
      if (spawnSync('umount', ['-l', '-i', '-c', this.directory], { timeout: 10_000 }).status !== 0) break
    }
    rmdirSync(this.directory)
  }
}

/** Mounts, runs the body, leaves nothing behind. `args`: words for the daemon. */
export async function withMount(body: (mount: TestMount) => Promise<void>, args: string[] = []): Promise<void> {
  const mount = new TestMount(undefined, args)
  try {
    await mount.line(/^mounted$/)
    await body(mount)
  } finally {
    await mount.close()
  }
}
