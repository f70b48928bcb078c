import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { isRunning, skip, type Place } from '../../e2e/support/cluster.js'

const namespaces = '/run/netns'
const listenPort = 7400
const cable = 'cable'
/** RFC 2544: a range that no network uses. It exists in our namespaces only. */
const prefix = `198.18.${process.pid % 256}`
/** The pid tells the next run whether a namespace was left behind. */
const named = (name: string): string => `rkfs-${process.pid}-${name}`

/** The hub's end of a machine's cable. `ip` takes a bare letter for a keyword. */
const port = (name: string): string => `to-${name}`

function tool(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`)
  return stdout
}

/** What keeps these tests from running here, or false. */
function networkSkip(): string | false {
  if (process.geteuid?.() !== 0) return 'needs root'
  const probe = named('probe')
  try {
    removeStale()
    tool('ip', 'netns', 'add', probe)
    tool('ip', 'netns', 'exec', probe, 'iptables', '-w', '-A', 'INPUT', '-s', `${prefix}.1`, '-j', 'DROP')
    return false
  } catch (error) {
    return `needs network namespaces, iproute2 and iptables: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    spawnSync('ip', ['netns', 'del', probe], { timeout: 10_000 })
  }
}

/** Ends a test file where it cannot run: for a reason of its own, or for want of root, a build or networks. */
export function skipUnlessNetworked(t: Test, own: string | false = false): void {
  const why = own || skip || networkSkip()
  if (why === false) return
  t.plan(0, why)
  process.exit(0)
}

/** Ends what runs in namespaces of test runs that are no more, and removes them. */
function removeStale(): void {
  for (const name of entries(namespaces)) {
    const owner = /^rkfs-(\d+)-/.exec(name)?.[1]
    if (owner !== undefined && Number(owner) !== process.pid && !isRunning(Number(owner))) removeNamespace(name)
  }
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const owner = / - tmpfs rkfs-faults-(\d+) /.exec(line)?.[1]
    if (owner !== undefined && !isRunning(Number(owner))) {
      spawnSync('umount', ['-l', '-i', '-c', line.split(' ')[4] ?? ''], { timeout: 10_000 })
    }
  }
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function removeNamespace(name: string): void {
  const inside = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8', timeout: 10_000 }).stdout ?? ''
  for (const pid of inside.split('\n').filter(text => text !== '')) {
    try {
      // the nodes: the guards of their mounts then end by themselves
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes('serve'))
        process.kill(Number(pid), 'SIGKILL')
    } catch {
      // it ended by itself
    }
  }
  spawnSync('ip', ['netns', 'del', name], { timeout: 10_000 })
}

/**
 * One network namespace a machine, each with a cable into a bridge in a namespace of its own: nothing shows on the
 * machine that runs the tests.
 */
export class Network {
  readonly #hub = named('hub')
  readonly #machines = new Map<string, string>()
  readonly #onEnd = (): void => this.close()
  #closed = false
  #delays: boolean | undefined

  constructor() {
    process.once('exit', this.#onEnd)
    tool('ip', 'netns', 'add', this.#hub)
    tool('ip', '-n', this.#hub, 'link', 'add', 'name', 'hub', 'type', 'bridge')
    tool('ip', '-n', this.#hub, 'link', 'set', 'dev', 'hub', 'up')
  }

  /** A new machine's place. */
  add(name: string): Place {
    const namespace = named(name)
    const host = `${prefix}.${this.#machines.size + 1}`
    this.#machines.set(name, host)
    tool('ip', 'netns', 'add', namespace)
    tool(
      'ip',
      '-n',
      this.#hub,
      'link',
      'add',
      'name',
      port(name),
      'type',
      'veth',
      'peer',
      'name',
      cable,
      'netns',
      namespace,
    )
    tool('ip', '-n', this.#hub, 'link', 'set', 'dev', port(name), 'master', 'hub', 'up')
    tool('ip', '-n', namespace, 'address', 'add', `${host}/24`, 'dev', cable)
    tool('ip', '-n', namespace, 'link', 'set', 'dev', 'lo', 'up')
    tool('ip', '-n', namespace, 'link', 'set', 'dev', cable, 'up')
    // Not `ip netns exec`: its mount namespace of its own would hide the mounts from the programs.
    return { host, port: listenPort, enter: ['nsenter', `--net=${namespaces}/${namespace}`, '--'] }
  }

  /** The cable is out: nothing is answered, nothing is refused. */
  unplug(name: string): void {
    tool('ip', '-n', this.#hub, 'link', 'set', 'dev', port(name), 'down')
  }

  /** What `from` sends to `to` gets lost. The other way is open. */
  drop(from: string, to: string): void {
    this.#filter(to, 'INPUT', '-s', this.#host(from), '-j', 'DROP')
  }

  /** Both are told at once that nobody listens there, on connections that stand, too. */
  reject(one: string, other: string): void {
    for (const [a, b] of [
      [one, other],
      [other, one],
    ] as const) {
      this.#filter(a, 'OUTPUT', '-p', 'tcp', '-d', this.#host(b), '-j', 'REJECT', '--reject-with', 'tcp-reset')
    }
  }

  /**
   * A link of `kbitPerSecond` that loses a share of what arrives. With netem in the kernel, what is sent is also late by
   * `delayMs`, with jitter; without it only as late as the queue of a narrow link makes it (tbf), and what gets lost is
   * iptables' choice.
   */
  impair(name: string, kbitPerSecond: number, lossShare: number, delayMs: number): void {
    const namespace = named(name)
    if (this.#hasDelays(namespace)) {
      const delay = ['delay', `${delayMs}ms`, `${Math.ceil(delayMs / 4)}ms`, 'rate', `${kbitPerSecond}kbit`]
      tool('tc', '-n', namespace, 'qdisc', 'replace', 'dev', cable, 'root', 'netem', ...delay)
    } else {
      const queue = ['rate', `${kbitPerSecond}kbit`, 'burst', '32kb', 'latency', `${delayMs * 10}ms`]
      tool('tc', '-n', namespace, 'qdisc', 'replace', 'dev', cable, 'root', 'tbf', ...queue)
    }
    if (lossShare > 0) {
      this.#filter(
        name,
        'INPUT',
        '-m',
        'statistic',
        '--mode',
        'random',
        '--probability',
        String(lossShare),
        '-j',
        'DROP',
      )
    }
  }

  /** What a machine sends goes out at so many kbit/s, to all others together (tbf), with a queue of half a second. */
  narrow(name: string, kbitPerSecond: number): void {
    const queue = ['rate', `${kbitPerSecond}kbit`, 'burst', '16kb', 'latency', '500ms']
    tool('tc', '-n', named(name), 'qdisc', 'replace', 'dev', cable, 'root', 'tbf', ...queue)
  }

  /** All links as they were. */
  heal(): void {
    for (const name of this.#machines.keys()) {
      const namespace = named(name)
      this.#filterTool(name, '-F')
      tool('ip', '-n', this.#hub, 'link', 'set', 'dev', port(name), 'up')
      spawnSync('tc', ['-n', namespace, 'qdisc', 'del', 'dev', cable, 'root'], { timeout: 10_000 })
    }
  }

  /** Synchronous: it also runs when this process is being ended. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    process.removeListener('exit', this.#onEnd)
    for (const name of [...this.#machines.keys(), 'hub']) removeNamespace(named(name))
  }

  #host(name: string): string {
    return this.#machines.get(name)!
  }

  #filter(name: string, chain: 'INPUT' | 'OUTPUT', ...rule: string[]): void {
    this.#filterTool(name, '-A', chain, ...rule)
  }

  #filterTool(name: string, ...args: string[]): void {
    tool('ip', 'netns', 'exec', named(name), 'iptables', '-w', ...args)
  }

  #hasDelays(namespace: string): boolean {
    if (this.#delays === undefined) {
      const { status } = spawnSync('tc', [
        '-n',
        namespace,
        'qdisc',
        'replace',
        'dev',
        'up',
        'root',
        'netem',
        'delay',
        '1ms',
      ])
      this.#delays = status === 0
    }
    return this.#delays
  }
}
