import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { Rng } from '../../../src/base/rng.js'
import { Cluster, sleep, until } from '../../e2e/support/cluster.js'
import { Load } from './load.js'
import { Member } from './member.js'
import { faults, faultSkip, type FaultName, type Stage } from './nemesis.js'
import { Network } from './network.js'

/** What a change waits for at most (`-o timeout`). */
const timeoutSeconds = 6
/** Beyond a deadline, on a machine that does other work, too. */
const slackSeconds = 6
/** From the end of a fault until every member takes changes again. */
const recoverySeconds = 20
/** From the beginning of a fault until those that it does not strike get on, a new leader included. */
const outageSeconds = 12
const residentBytesMax = 700 * 2 ** 20

export interface TrialOptions {
  readonly seed: number
  /** Two of them, the second and the last, on small disks. */
  readonly members: number
  readonly mountOptions?: string
  /** More lines of each config.toml. */
  readonly settings?: string
}

/** A channel of real nodes on a network of its own, under load. */
export class Trial {
  readonly cluster = new Cluster()
  readonly network = new Network()
  readonly members: Member[] = []
  readonly load: Load
  readonly rng: Rng
  readonly #options: TrialOptions
  /** How long a node was stopped at most: its programs cannot be answered then. */
  #pausedSeconds = 0

  constructor(options: TrialOptions) {
    this.#options = options
    this.rng = new Rng(options.seed)
    this.load = new Load(this.cluster.root)
  }

  async open(): Promise<void> {
    const { members: count, mountOptions = 'read=local', settings = '' } = this.#options
    for (let i = 0; i < count; i++) {
      const name = String.fromCodePoint(97 + i)
      const disk = i === 1 || i === count - 1 ? { diskMiB: 512 } : {}
      const options = { mountOptions: `timeout=${timeoutSeconds},${mountOptions}`, settings, ...disk }
      const member = new Member(this.cluster.root, name, this.network.add(name), options)
      this.members.push(member)
      this.cluster.machines.push(member)
    }
    await Promise.all(this.members.map(member => member.start()))
    const [owner, ...others] = this.members as [Member, ...Member[]]
    await owner.must('channel', 'create', 'demo')
    for (const member of others) await this.cluster.admit(owner, member)
    await this.cluster.agree(this.members)
    await Promise.all(this.members.map(member => member.mountAgain()))
    const made = await owner.shell('mkdir load')
    if (made.code !== 0) throw new Error(made.stderr)
    await this.cluster.same(this.members)
  }

  /** One fault: it begins, the others get on, it ends, all get on. */
  async strike(t: Test, name: FaultName, seconds: number): Promise<void> {
    const missing = faultSkip(name)
    if (missing !== undefined) return t.comment(`skipped: ${missing}`)
    const begun = performance.now()
    const fault = await faults[name](this.#stage())
    const struckAt = performance.now()
    const free = this.members.filter(member => !fault.struck.includes(member))
    let outage = 0
    if (free.length > this.members.length / 2) {
      await Promise.all(free.map(member => this.getsOn(member, outageSeconds))).catch((error: unknown) => {
        t.fail(`${fault.what}: ${String(error)}`)
      })
      outage = (performance.now() - struckAt) / 1000
    }
    await sleep(Math.max(0, seconds * 1000 - (performance.now() - struckAt)))
    const during = await Promise.all(this.members.map(member => this.described(member)))
    await fault.end()
    this.#pausedSeconds = Math.max(this.#pausedSeconds, (performance.now() - struckAt) / 1000)
    const endedAt = performance.now()
    await Promise.all(this.members.map(member => this.getsOn(member, recoverySeconds))).catch((error: unknown) => {
      t.fail(`after ${fault.what}: ${String(error)}`)
    })
    const recovery = (performance.now() - endedAt) / 1000
    t.comment(
      `${((begun - this.#begun) / 1000).toFixed(1)} s: ${fault.what} for ${((endedAt - begun) / 1000).toFixed(1)} s; ` +
        `the others wait ${outage.toFixed(1)} s, all ${recovery.toFixed(1)} s after it [${during.join('; ')}]`,
    )
  }
  readonly #begun = performance.now()

  /** Waits until a change through this member's mount comes through. */
  async getsOn(member: Member, limitSeconds: number): Promise<void> {
    const end = performance.now() + limitSeconds * 1000
    let last = ''
    while (performance.now() < end) {
      const left = (end - performance.now()) / 1000 + 1
      const { code, stderr } = await member.shell(
        `cd load; echo x > probe-${member.name}; sync probe-${member.name}`,
        left,
      )
      if (code === 0) return
      last = stderr.trim()
      await sleep(100)
    }
    throw new Error(
      `${member.name} takes no change within ${limitSeconds} s: ${last} [${await this.described(member)}]`,
    )
  }

  /** After the faults: the load ends, and all that was promised is checked. */
  async settle(t: Test): Promise<void> {
    // an attempt waits in fsync, and again in close
    const callSeconds = 2 * timeoutSeconds + slackSeconds + this.#pausedSeconds
    t.same(await this.load.stop(callSeconds * 2), [], 'the programs end')
    const { slowest, errors } = this.load.summary()
    t.comment(
      `${this.load.acknowledged} acknowledged; errors ${JSON.stringify(errors)}; ${this.load.stepsBack} steps back; ` +
        `slowest ${slowest.join(', ')}`,
    )
    await until(
      'all members serve, with nothing on its way',
      async () => {
        const statuses = await Promise.all(this.members.map(member => member.status()))
        return statuses.every(
          status =>
            status?.quorum.ok === true &&
            status.problems.every(problem => problem.includes('certificate expires')) &&
            status.pending.operations === 0 &&
            status.mounts[0]?.waiting === 0 &&
            status.members.every(member => member.connected),
        )
      },
      recoverySeconds,
    ).catch(async (error: unknown) => {
      t.fail(`${String(error)}: ${(await Promise.all(this.members.map(member => this.described(member)))).join('; ')}`)
    })
    await this.cluster.same(this.members)
    const verified = await this.members[0]!.rkfs('verify', 'demo', '--deep')
    t.equal(verified.code, 0, `verify --deep: ${verified.stdout}${verified.stderr}`.slice(0, 500))
    for (const member of this.members) {
      t.equal(await this.load.missingOn(member), '', `what was acknowledged is there on ${member.name}`)
      const status = await member.status()
      // who was killed keeps copies of what it had taken and nobody else had (promise 5)
      if (!member.wasKilled) t.equal(status?.conflicts, 0, `no conflicts on ${member.name}`)
      t.same(member.crashes, [], `the node of ${member.name} never ended by itself`)
      const resident = residentBytes(member.nodePid)
      t.ok(resident < residentBytesMax, `${member.name}: ${Math.round(resident / 2 ** 20)} MiB resident`)
    }
    t.same(this.load.violations.slice(0, 10), [], 'no program saw what must not be')
    t.same(this.load.slowerThan(callSeconds).slice(0, 10), [], `no call took longer than ${callSeconds.toFixed(0)} s`)
    t.ok(this.load.empty || this.load.acknowledged > 0, 'the programs did something')
  }

  async close(): Promise<void> {
    this.load.kill()
    for (const member of this.members) member.release()
    await this.cluster.close()
    this.network.close()
  }

  #stage(): Stage {
    const { network, members, rng } = this
    return { network, members, rng, leader: async () => (await this.cluster.leader(members)) as Member }
  }

  async described(member: Member): Promise<string> {
    if (!member.running) return `${member.name} down`
    if (member.paused) return `${member.name} stopped`
    const status = await member.status()
    if (status === undefined) return `${member.name} silent`
    const problems = [...status.problems, ...status.members.flatMap(({ problem }) => problem ?? [])]
    return `${member.name} ${status.state} term ${status.term}${problems.length > 0 ? ` (${problems.join(', ')})` : ''}`
  }
}

export function residentBytes(pid: number | undefined): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024
}
