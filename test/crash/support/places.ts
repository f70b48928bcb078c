import type { Failpoint } from '../../../src/base/failpoint.js'
import { type Cluster, isMounted, isRunning, type Machine, until } from '../../e2e/support/cluster.js'
import { Writer } from '../../e2e/support/writer.js'
import type { Place } from './cases.js'
import { Load, type loads } from './loads.js'
import { DoomedNode } from './doomed-node.js'

const deathSeconds = 45

/** The clusters that the cases share, made when they are first needed; each case leaves them in order. */
export class Places {
  readonly #cluster: Cluster
  #solo: Promise<Machine> | undefined
  #three: Promise<Machine[]> | undefined
  #owner: Promise<Machine> | undefined
  #made = 0

  /** `cluster`: takes the machines down at the end. */
  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Lets a node die at a failpoint, starts it again, and answers what is wrong then. */
  async run(name: Failpoint, place: Place, passing: number): Promise<string[]> {
    switch (place) {
      case 'solo':
        return this.#loaded(name, passing, undefined)
      case 'solo-bulk':
        return this.#loaded(name, passing, 'bulk')
      case 'solo-small':
        return this.#loaded(name, passing, 'small')
      case 'stop':
        return this.#stopped(name)
      case 'leader':
      case 'follower':
        return this.#member(name, passing, place === 'leader')
      case 'deposed':
        return this.#deposed(name)
      case 'create':
        return this.#created(name, passing)
      case 'owner':
      case 'newcomer':
        return this.#joined(name, passing, place === 'owner')
    }
  }

  // ---- one member ----

  async #alone(): Promise<Machine> {
    this.#solo ??= this.#cluster.members('solo').then(([machine]) => machine!)
    const machine = await this.#solo
    await end(machine)
    return machine
  }

  async #loaded(name: Failpoint, passing: number, kind: keyof typeof loads | undefined): Promise<string[]> {
    const machine = await this.#alone()
    const node = new DoomedNode(machine, name, passing)
    await node.started()
    let writer: Writer | undefined
    if (!node.dead && (await machine.rkfs('mount', 'demo', machine.directory)).code === 0) {
      writer = new Writer(machine, `${name}-${++this.#made}`)
      const load = kind && new Load(machine, kind)
      await node.died(deathSeconds).finally(() => load?.stop())
    }
    await node.died(deathSeconds)
    await writer?.stop()
    await machine.mount()
    return this.#wrong([machine], writer === undefined ? [] : [writer])
  }

  async #stopped(name: Failpoint): Promise<string[]> {
    const machine = await this.#alone()
    const node = new DoomedNode(machine, name, 1)
    await node.started()
    await machine.mount()
    const writer = new Writer(machine, `${name}-${++this.#made}`)
    await until('it writes', () => writer.acknowledged > 10)
    await Promise.all([machine.rkfs('stop'), node.died(deathSeconds)])
    await writer.stop()
    await machine.mount()
    return this.#wrong([machine], [writer])
  }

  async #created(name: Failpoint, passing: number): Promise<string[]> {
    const machine = await this.#cluster.machine(`new-${++this.#made}`)
    const node = new DoomedNode(machine, name, passing)
    await node.started()
    if (!node.dead) await Promise.all([machine.rkfs('channel', 'create', 'demo'), node.died(deathSeconds)])
    await node.died(deathSeconds)
    const again = await machine.rkfs('channel', 'create', 'demo')
    if (again.code !== 0 && !again.stderr.includes('has a channel demo already')) return [again.stderr]
    await machine.mount()
    const writer = new Writer(machine, 'file')
    await until('it writes', () => writer.acknowledged > 10)
    await writer.stop()
    const wrong = await this.#wrong([machine], [writer])
    await end(machine)
    return wrong
  }

  // ---- three members ----

  async #members(): Promise<[Machine, Machine, Machine]> {
    this.#three ??= this.#cluster.members('a', 'b', 'c')
    const machines = (await this.#three) as [Machine, Machine, Machine]
    for (const machine of machines) await machine.mount()
    await this.#lead(machines)
    return machines
  }

  /** The first one leads: a leader that stops hands over to the first of those that have all. */
  async #lead(machines: readonly Machine[]): Promise<void> {
    const wanted = machines[0]!
    await until(
      `${wanted.name} leads`,
      async () => {
        for (const machine of machines) {
          if ((await machine.status())?.state !== 'leader') continue
          if (machine === wanted) return true
          await machine.must('stop')
          await machine.mount()
        }
        return false
      },
      60,
    )
  }

  async #member(name: Failpoint, passing: number, leading: boolean): Promise<string[]> {
    const machines = await this.#members()
    const victim = leading ? machines[0] : machines[2]
    const others = machines.filter(machine => machine !== victim)
    await end(victim)
    // the passings as a follower count, too: at the leader's failpoints they are those of its own writes soon
    const node = new DoomedNode(victim, name, passing)
    await node.started()
    if (!node.dead && (await victim.rkfs('mount', 'demo', victim.directory)).code === 0 && leading) {
      await this.#lead(machines).catch((error: unknown) => {
        if (!node.dead) throw error
      })
    }
    const writers = machines.map(machine => new Writer(machine, `${name}-${machine.name}-${++this.#made}`))
    try {
      await node.died(deathSeconds)
      const before = writers.map(writer => writer.acknowledged)
      await until('the others write on', () =>
        writers.every((writer, i) => writer.machine === victim || writer.acknowledged > before[i]! + 5),
      )
    } finally {
      await Promise.all(writers.map(writer => writer.stop()))
    }
    const wrong = writers.flatMap(({ machine, error }) =>
      machine !== victim && error ? `${machine.name}: ${error}` : [],
    )
    // a node that died before it had mounted left the bare directory, and one that is too late for the mount writes there
    const inMount = writers.filter(writer => writer.machine !== victim || writer.error !== undefined)
    if (!isMounted(victim.directory)) await victim.shell('rm -f -- ./*')
    await victim.mount()
    return [...wrong, ...(await this.#wrong([victim, ...others], inMount))]
  }

  /** The leader's last entries reach nobody; it dies, and meets another history when it comes back. */
  async #deposed(name: Failpoint): Promise<string[]> {
    const machines = await this.#members()
    const [leader, ...others] = machines
    const prefix = `${name}-${++this.#made}`
    await leader.shell(`echo known > ${prefix}; sync ${prefix}`)
    const pids = await Promise.all(machines.map(machine => machine.pid()))
    // in one program, so that the leader still leads as it writes. A write returns as soon as the own log has it; the sync
    // that the mark tells of follows within milliseconds
    const own = `f = os.open('${prefix}', os.O_WRONLY)
leader, *others = map(int, sys.argv[2:])
for other in others: os.kill(other, 9)
for i in range(20): os.pwrite(f, b'own', i * 100)
time.sleep(0.3)
os.kill(leader, 9)
os._exit(0)`
    const { code, stderr } = await leader.python(own, 30, leader.directory, ...pids.map(String))
    if (code !== 0) return [`the leader's own writes: ${code ?? 'killed'} ${stderr}`]
    await until('all are gone', () => !pids.some(isRunning), 5)
    await Promise.all(others.map(other => other.mount()))
    const writer = new Writer(others[0]!, `${prefix}-b`)
    await until('the others write on', () => writer.acknowledged > 20)
    const node = new DoomedNode(leader, name, 1)
    await node.died(deathSeconds)
    await writer.stop()
    await leader.mount()
    const wrong = await this.#wrong(machines, [writer])
    const kept = await leader.must('conflicts', 'demo')
    if (!kept.includes(`/${prefix} `)) wrong.push(`no copy is kept of what only ${leader.name} had: ${kept}`)
    return wrong
  }

  // ---- a newcomer ----

  async #joined(name: Failpoint, passing: number, owners: boolean): Promise<string[]> {
    const cluster = this.#cluster
    const owner = await (this.#owner ??= cluster.members('owner').then(([machine]) => machine!))
    await owner.mount()
    const writer = new Writer(owner, `${name}-${++this.#made}`, 40_000)
    await until('it writes', () => writer.acknowledged > 30)
    await writer.stop()
    const newcomer = await cluster.machine(`new-${this.#made}`)
    const token = await owner.must('member', 'invite', 'demo')
    if (owners) await end(owner)
    const node = new DoomedNode(owners ? owner : newcomer, name, passing)
    await node.started()
    const joining = newcomer.rkfs('join', token)
    await node.died(deathSeconds)
    if (owners) await owner.mount()
    await joining
    await until('it is admitted', async () => (await newcomer.rkfs('join', token)).code === 0)
    await cluster.agree([owner, newcomer])
    await newcomer.mount()
    const wrong = await this.#wrong([owner, newcomer], [writer])
    await owner.must('member', 'remove', 'demo', newcomer.name)
    await end(newcomer)
    return wrong
  }

  /** What is wrong with members that run again: health, agreement, what was acknowledged. */
  async #wrong(machines: readonly Machine[], writers: readonly Writer[]): Promise<string[]> {
    const cluster = this.#cluster
    await cluster.agree(machines)
    await cluster.same(machines)
    const wrong: string[] = []
    for (const machine of machines) {
      for (const writer of writers) {
        const missing = await writer.missingOn(machine)
        if (missing !== '') wrong.push(`${writer.prefix} on ${machine.name}: ${missing.slice(0, 300)}`)
      }
    }
    const verified = await machines[0]!.rkfs('verify', 'demo', '--deep')
    if (!verified.stdout.includes('ok: all members agree')) wrong.push(`verify: ${verified.stdout}${verified.stderr}`)
    return wrong
  }
}

/** Ends a machine's node the hard way. */
async function end(machine: Machine): Promise<void> {
  const pid = await machine.pid().catch(() => undefined)
  if (pid === undefined) return
  process.kill(pid, 'SIGKILL')
  await until('it is gone', () => !isRunning(pid), 5)
}
