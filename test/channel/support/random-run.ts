import { EIO, EROFS } from '../../../src/base/errno.js'
import { equalBytes } from '../../../src/base/bytes.js'
import type { Operation } from '../../../src/fs/operation.js'
import { recordHash } from '../../../src/fs/table-view.js'
import { nodeHasher } from '../../../src/daemon/hasher.js'
import { Cluster, type Answer, type Member } from './cluster.js'

interface Made {
  readonly member: Member
  /** Which start of the member it belongs to. */
  readonly life: number
  readonly record: string
  readonly answer: Answer
  durable: boolean
}

export interface Totals {
  changes: number
  durable: number
  crashes: number
  cuts: number
  refusedReadOnly: number
  elections: number
}

/**
 * Members change a channel at random while their network, power and disks fail; then all heals and they must agree, with
 * all that was acknowledged there and nothing twice. One shared file takes appended records, each of its own text; other
 * files and directories are made, moved, cut and removed to give the state machine work.
 */
export class RandomRun {
  readonly cluster: Cluster
  readonly totals: Totals = { changes: 0, durable: 0, crashes: 0, cuts: 0, refusedReadOnly: 0, elections: 0 }
  readonly #made: Made[] = []
  readonly #lives = new Map<Member, number>()
  readonly #shared: number
  readonly #inodes: number[] = [1]
  #lossy = false

  constructor(seed: number) {
    this.cluster = new Cluster(seed % 5 === 0 ? 5 : 3, seed)
    const { network, rng } = this.cluster
    network.delayMsMax = [2, 10, 60][rng.below(3)]!
    this.cluster.syncMsMax = [2, 10, 60][rng.below(3)]!
    network.lose = () => this.#lossy && rng.below(60) === 0
    const { ino, answer } = this.cluster.leader().create('log')
    this.cluster.answered(answer)
    this.cluster.settle()
    this.#shared = ino
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) {
      this.#step(i)
      this.#checkViews()
    }
    this.#heal()
    this.#check()
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.cluster.rng.below(from.length)]!
  }

  #step(i: number): void {
    const { cluster } = this
    const { rng, network } = cluster
    const { alive } = cluster
    const dice = rng.below(100)
    if (dice < 55 && alive.length > 0) this.#change(this.#pick(alive), i)
    else if (dice < 62 && alive.length > 0) this.#sync(this.#pick(alive))
    else if (dice < 66) {
      const a = this.#pick(cluster.members)
      const b = this.#pick(cluster.members)
      this.totals.cuts++
      if (a === b) network.isolate(a.id, rng.below(3000))
      else if (dice === 62) network.silence(a.id, b.id, rng.below(3000))
      else network.break(a.id, b.id)
    } else if (dice < 72) network.connectAll()
    else if (dice < 74) this.#crash(this.#pick(cluster.members))
    else if (dice < 77) {
      for (const member of cluster.members) if (!member.alive && rng.below(2) === 0) this.#start(member)
      network.connectAll()
    } else if (dice === 77) this.#lossy = !this.#lossy
    else if (dice === 78) this.#pick(cluster.members).log.full = rng.below(3) === 0
    else if (dice === 79 && alive.length > 0) {
      const leader = alive.find(member => member.leads)
      leader?.channel.transferLeadership(this.#pick(cluster.members).id)
    } else cluster.advance(this.#pick([1, 5, 20, 100, 100, 400, 1500]))
  }

  #crash(member: Member): void {
    if (!member.alive) return
    this.totals.crashes++
    if (this.cluster.rng.below(3) === 0) member.stop()
    else member.crash()
    member.log.full = false
  }

  #start(member: Member): void {
    member.log.full = false
    this.#lives.set(member, this.#life(member) + 1)
    member.start()
  }

  #life(member: Member): number {
    return this.#lives.get(member) ?? 0
  }

  #change(member: Member, i: number): void {
    const { rng } = this.cluster
    this.totals.changes++
    const timeoutMs = 500 + rng.below(5000)
    const durable = rng.below(10) === 0
    if (rng.below(3) > 0) {
      const record = `${member.slot}:${i}:${'x'.repeat(rng.below(30))};`
      const answer = member.append(this.#shared, record, { timeoutMs, durable })
      this.#made.push({ member, life: this.#life(member), record, answer, durable: false })
      return
    }
    member.change(this.#operation(member), undefined, { timeoutMs, durable })
  }

  /** Names and inodes are few, so that members meet; many of these are refused. */
  #operation(member: Member): Operation {
    const { rng } = this.cluster
    const ino = (): number => this.#pick(this.#inodes)
    const name = (): string => this.#pick(['a', 'b', 'c', 'd'])
    switch (rng.below(7)) {
      case 0:
      case 1: {
        const made = member.nextInode()
        this.#inodes.push(made)
        const mode = rng.below(2) === 0 ? 0o040755 : 0o100644
        return { kind: 'make', parent: ino(), name: name(), ino: made, mode, uid: 0, gid: 0, rdev: 0, target: '' }
      }
      case 2:
        return { kind: rng.below(2) === 0 ? 'unlink' : 'rmdir', parent: ino(), name: name() }
      case 3:
      case 4: {
        const flags = this.#pick([0, 0, 1, 2])
        return { kind: 'rename', parent: ino(), name: name(), newParent: ino(), newName: name(), flags }
      }
      case 5:
        return { kind: 'setattr', ino: ino(), killPrivileges: false, size: rng.below(600_000) }
      default:
        return { kind: 'setxattr', ino: ino(), name: name(), value: Uint8Array.of(rng.below(256)), flags: 0 }
    }
  }

  #sync(member: Member): void {
    const life = this.#life(member)
    const covered = this.#made.filter(
      made => made.member === member && made.life === life && made.answer.errno === 0 && !made.durable,
    )
    const { channel } = member
    channel.whenDurable(channel.lastSequence, this.cluster.rng.below(2) === 0, 5000, errno => {
      if (errno !== 0) return
      for (const made of covered) made.durable = true
      this.totals.durable++
    })
  }

  /** What a program reads is never torn, and holds all that this member accepted since it started. */
  #checkViews(): void {
    for (const member of this.cluster.alive) {
      if (!member.channel.serving) throw new Error(`${member.quarantined}\n${this.cluster.describe()}`)
    }
    const { alive } = this.cluster
    if (alive.length === 0) return
    const member = this.#pick(alive)
    // one that was started again and then led shows less once it does not: what it has applied, and its own on top
    if (member.content(this.#shared) === undefined) return
    const records = this.#records(member)
    const life = this.#life(member)
    for (const { member: by, life: at, record, answer } of this.#made) {
      if (by !== member || at !== life || answer.errno !== 0) continue
      if (!records.has(record)) throw new Error(`m${member.slot - 1} does not see its own ${record}`)
    }
  }

  /** The shared file's records in order; throws when one is torn or there twice. */
  #records(member: Member): Map<string, number> {
    // after a restart a member shows an older state until it hears how much of its log is committed
    const parts = (member.content(this.#shared) ?? '').split(';')
    if (parts.pop() !== '') throw new Error('the last record is torn')
    const records = new Map<string, number>()
    parts.forEach((part, at) => {
      const record = `${part};`
      if (records.has(record)) throw new Error(`twice: ${record}`)
      records.set(record, at)
    })
    return records
  }

  #heal(): void {
    const { cluster } = this
    this.#lossy = false
    for (const member of cluster.members) member.log.full = false
    for (const member of cluster.members) if (!member.alive) this.#start(member)
    cluster.advance(10)
    cluster.network.connectAll()
    cluster.settle(120_000)
  }

  #check(): void {
    const { cluster } = this
    cluster.checkDigests()
    this.totals.elections = cluster.members[0]!.channel.term
    for (const member of cluster.members) this.#checkRecords(this.#records(member))
    const [first] = cluster.members
    first!.stop()
    this.#checkStored(first!)
  }

  #checkRecords(records: ReadonlyMap<string, number>): void {
    const known = new Set(this.#made.map(made => made.record))
    for (const record of records.keys()) if (!known.has(record)) throw new Error(`from nowhere: ${record}`)
    const last = new Map<Member, number>()
    for (const { member, record, answer, durable } of this.#made) {
      const at = records.get(record)
      const { errno, lost } = answer
      if (durable && at === undefined) throw new Error(`lost, though it was durable: ${record}`)
      if (lost !== undefined) throw new Error(`an append was refused after it was accepted (${lost}): ${record}`)
      if (errno !== undefined && errno !== 0 && errno !== EIO && at !== undefined) {
        throw new Error(`${record} failed with errno ${errno}, and came about`)
      }
      if (errno === EROFS) this.totals.refusedReadOnly++
      if (at === undefined) continue
      if (at < (last.get(member) ?? -1)) throw new Error(`out of order: ${record}`)
      last.set(member, at)
    }
  }

  /** The digest is what the stored records amount to. */
  #checkStored({ state }: Member): void {
    const sum = new Uint8Array(32)
    for (const { table, ino, key, value } of state.all()) {
      const hash = recordHash(nodeHasher, table, ino, key, value)
      for (let i = 0; i < 32; i++) sum[i]! ^= hash[i]!
    }
    if (!equalBytes(sum, state.position!.digest)) throw new Error('the digest is not that of the records')
  }
}
