import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { callDaemon } from '../../../src/daemon/control-client.js'
import type { ChannelStatus, StatusReport } from '../../../src/daemon/control-protocol.js'
import type { Test } from 'tap'
import { run, type Outcome } from './process.js'

/** The built product. `RKFS_E2E_DIST` names another build than the checkout's own. */
export const mainPath = join(
  process.env['RKFS_E2E_DIST'] ?? fileURLToPath(new URL('../../../dist', import.meta.url)),
  'cli/main.js',
)
/** These tests mount; without root, the device and a build they are skipped. */
export const skip =
  process.geteuid?.() !== 0 || !existsSync('/dev/fuse')
    ? 'needs root and /dev/fuse'
    : !existsSync(mainPath) && `needs the build ${mainPath}`

const commandSeconds = 60
const reportSeconds = 5

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Waits for a condition, not for a time. */
export async function until(
  what: string,
  condition: () => unknown | Promise<unknown>,
  limitSeconds = 30,
): Promise<void> {
  const end = performance.now() + limitSeconds * 1000
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${limitSeconds} s: ${what}`)
    await sleep(50)
  }
}

/** What is mounted at a directory, as the kernel tells it: never looks into the mount. */
export function isMounted(directory: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${directory} `)
}

/** Whether a mount is there that nobody serves. Asked by a child, since it may hang. */
export async function isDead(directory: string): Promise<boolean> {
  if (!isMounted(directory)) return false
  const { code, stderr } = await run('stat', ['-f', '--', directory], { limitSeconds: 5 })
  return code !== 0 && /not connected/.test(stderr)
}

export function isRunning(pid: number): boolean {
  try {
    // a process that ended and was not waited for is in state Z
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** A free port outside the range that outgoing connections take: it stays free while its node is down. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000)
    const free = await new Promise<boolean>(resolve => {
      const server = createServer()
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (free) return port
  }
}

/** Where a machine stands: what it listens on, and the words before a command that make it run there. */
export interface Place {
  readonly host: string
  readonly port: number
  readonly enter: readonly string[]
}

/** A machine: a home with its settings, a place to mount at, and the command line. */
export class Machine {
  readonly name: string
  readonly home: string
  readonly directory: string
  readonly port: number
  readonly place: Place
  /** Nodes that were seen here, for the end. */
  readonly pids = new Set<number>()

  constructor(root: string, name: string, place: Place, homes = root) {
    this.name = name
    this.place = place
    this.port = place.port
    this.home = join(homes, `home-${name}`)
    this.directory = join(root, 'mnt', name)
    mkdirSync(this.home, { recursive: true, mode: 0o700 })
    mkdirSync(join(root, 'mnt'), { recursive: true })
    writeFileSync(join(this.home, 'config.toml'), `name = "${name}"\nlisten = "${place.host}:${place.port}"\n`)
  }

  folder(channel = 'demo'): string {
    return join(this.home, 'channels', channel)
  }

  rkfs(...args: string[]): Promise<Outcome> {
    const [program, ...words] = [...this.place.enter, process.execPath, mainPath, ...args] as [string, ...string[]]
    return run(program, words, { limitSeconds: commandSeconds, env: { RKFS_HOME: this.home } })
  }

  /** A command that must do its work; answers its standard output. */
  async must(...args: string[]): Promise<string> {
    const { code, stdout, stderr, timedOut } = await this.rkfs(...args)
    if (code !== 0) {
      throw new Error(`rkfs ${args.join(' ')} on ${this.name}: ${timedOut ? 'hangs' : code} ${stdout}${stderr}`)
    }
    return stdout.trim()
  }

  mount(...args: string[]): Promise<string> {
    return this.must('mount', 'demo', this.directory, ...args)
  }

  /** What its node says, by the control socket, without a process: it is asked often. Undefined: none answers. */
  async report(limitSeconds = reportSeconds): Promise<StatusReport | undefined> {
    try {
      const report = await callDaemon(this.home, 'status', {}, { timeoutMs: limitSeconds * 1000 })
      this.pids.add(report.node.pid)
      return report
    } catch {
      return undefined
    }
  }

  async status(channel = 'demo'): Promise<ChannelStatus | undefined> {
    return (await this.report())?.channels.find(c => c.name === channel)
  }

  /** The node's process. */
  async pid(): Promise<number> {
    // who has none is told at once; a machine that is busy answers late
    const pid = (await this.report(commandSeconds))?.node.pid ?? 0
    if (pid === 0) throw new Error(`no node runs on ${this.name}`)
    return pid
  }

  async kill(signal: NodeJS.Signals): Promise<number> {
    const pid = await this.pid()
    process.kill(pid, signal)
    return pid
  }

  /** Runs a script inside the mount, under a limit. */
  shell(script: string, limitSeconds = 20, directory = this.directory): Promise<Outcome> {
    return run('/bin/bash', ['-ec', `cd "$0"; ${script}`, directory], { limitSeconds })
  }

  python(script: string, limitSeconds = 30, directory = this.directory, ...args: string[]): Promise<Outcome> {
    const prelude = 'import errno,hashlib,json,os,stat,sys,time\nos.chdir(sys.argv[1])\n'
    return run('python3', ['-c', prelude + script, directory, ...args], { limitSeconds })
  }
}

/** What a whole file may take: only one that hangs takes so long, also on a machine that is busy with others. */
const fileSeconds = 600

/** The machines of a test file, which is skipped where it cannot run. */
export function clusterOf(t: Test, limitSeconds = fileSeconds): Cluster {
  if (skip !== false) {
    t.plan(0, skip)
    process.exit(0)
  }
  t.setTimeout(limitSeconds * 1000)
  const cluster = new Cluster()
  t.teardown(() => cluster.close())
  return cluster
}

/** Machines in one temporary folder, taken down whatever happens. */
export class Cluster {
  readonly root = mkdtempSync(join(tmpdir(), 'rkfs-e2e.'))
  readonly #homes: string
  readonly machines: Machine[] = []
  #down = false
  readonly #onEnd = (): void => this.#takeDown()
  readonly #onSignal = (): void => {
    this.#takeDown()
    process.exit(143)
  }

  /** `homes`: where the machines' homes are made, if not with all the rest. */
  constructor(homes?: string) {
    this.#homes = homes ?? this.root
    process.once('exit', this.#onEnd)
    process.once('SIGTERM', this.#onSignal)
    process.once('SIGINT', this.#onSignal)
  }

  async machine(name: string): Promise<Machine> {
    const place = { host: '127.0.0.1', port: await freePort(), enter: [] }
    const machine = new Machine(this.root, name, place, this.#homes)
    this.machines.push(machine)
    return machine
  }

  /** Members of one channel `demo`; the first is its owner. */
  async members(...names: string[]): Promise<Machine[]> {
    const machines = await Promise.all(names.map(name => this.machine(name)))
    const [first, ...others] = machines as [Machine, ...Machine[]]
    await first.must('channel', 'create', 'demo')
    for (const other of others) await this.admit(first, other)
    await this.agree(machines)
    return machines
  }

  async admit(owner: Machine, machine: Machine): Promise<void> {
    await machine.must('join', await owner.must('member', 'invite', 'demo'))
    await machine.pid()
  }

  /** Waits until all see all as voters and have a leader. */
  async agree(machines: readonly Machine[]): Promise<void> {
    for (const machine of machines) {
      await until(`${machine.name} sees ${machines.length} voters and a quorum`, async () => {
        const status = await machine.status()
        return status?.quorum.ok === true && status.quorum.voters === machines.length
      })
    }
  }

  /** The machine that leads, as it says itself. */
  async leader(machines: readonly Machine[]): Promise<Machine> {
    let found: Machine | undefined
    await until('a leader', async () => {
      for (const machine of machines) if ((await machine.status())?.state === 'leader') found = machine
      return found !== undefined
    })
    return found!
  }

  /** All changes on all members, their states the same at the same index. */
  async same(machines: readonly Machine[]): Promise<void> {
    for (const machine of machines) await machine.must('sync', 'demo', '--all', '--timeout', '50')
    let seen: unknown
    await until('equal digests', async () => {
      const digests = await Promise.all(machines.map(async machine => (await machine.status())?.digest))
      seen = digests
      return digests.every(d => d !== undefined && d.index === digests[0]?.index && d.hash === digests[0]?.hash)
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(seen)}`)
    })
  }

  /** In order if possible. */
  async close(): Promise<void> {
    await Promise.all(this.machines.map(machine => machine.report()))
    await Promise.all(
      this.machines.map(machine =>
        run(process.execPath, [mainPath, 'stop', '--timeout', '15', '--force'], {
          limitSeconds: 25,
          env: { RKFS_HOME: machine.home },
        }),
      ),
    )
    this.#takeDown()
    process.removeListener('exit', this.#onEnd)
    process.removeListener('SIGTERM', this.#onSignal)
    process.removeListener('SIGINT', this.#onSignal)
  }

  /** Synchronous: it also runs when this process is being ended. */
  #takeDown(): void {
    if (this.#down) return
    this.#down = true
    for (const { pids, home } of this.machines) {
      for (const pid of [...pids, pidOf(home)]) if (isNode(pid, home)) process.kill(pid, 'SIGKILL')
    }
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    for (const line of mounts.reverse()) {
      const at = line.split(' ')[4] ?? ''
      if (at.startsWith(`${this.root}/`)) spawnSync('umount', ['-l', '-i', '-c', at], { timeout: 10_000 })
    }
    if (process.env['KEEP']) return void process.stderr.write(`kept: ${this.root}\n`)
    spawnSync('rm', ['-rf', '--one-file-system', this.root], { timeout: 20_000 })
    rmSync(this.root, { recursive: true, force: true })
  }
}

function pidOf(home: string): number {
  try {
    return Number(readFileSync(join(home, 'node.pid'), 'utf8').trim())
  } catch {
    return 0
  }
}

/** Whether the process is the node of that home: a number alone may be another program's by now. */
function isNode(pid: number, home: string): boolean {
  if (!(pid > 0)) return false
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return words.includes('serve') && words.includes(home)
  } catch {
    return false
  }
}
