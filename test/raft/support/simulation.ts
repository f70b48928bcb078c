import { assert } from '../../../src/base/assert.js'
import { Rng } from '../../../src/base/rng.js'
import type { Configuration, RaftMessage } from '../../../src/raft/types.js'
import { Invariants } from './invariants.js'
import { TestNode } from './test-node.js'

interface Letter {
  readonly from: string
  readonly to: string
  readonly message: RaftMessage<number>
}

const names = ['a', 'b', 'c', 'd', 'e']
const lettersMax = 400

/** One run: one seed draws everything. A safety phase in a hostile world, then a liveness phase in a kind one. */
export class Simulation {
  readonly invariants = new Invariants()
  readonly nodes: TestNode[]
  readonly #rng: Rng
  #letters: Letter[] = []
  #data = 0
  #context = 0
  /** Members in different groups do not reach each other. */
  #group = new Map<string, number>()
  /** A member whose clock is late: it may think for long that it still leads. */
  #slow: string | undefined
  readonly #losesPercent: number
  readonly #reordersPercent: number
  readonly #duplicatesPercent: number
  readonly #crashesPermille: number
  readonly #partitionsPermille: number
  readonly #changesMembers: boolean

  constructor(seed: number) {
    const rng = (this.#rng = new Rng(seed))
    this.#losesPercent = [0, 1, 10, 30][rng.below(4)]!
    this.#reordersPercent = [0, 10, 50][rng.below(3)]!
    this.#duplicatesPercent = [0, 5, 20][rng.below(3)]!
    this.#crashesPermille = [0, 3, 15][rng.below(3)]!
    this.#partitionsPermille = [0, 3, 15][rng.below(3)]!
    this.#changesMembers = rng.below(2) === 0
    const voters = names.slice(0, 3 + rng.below(3))
    const configuration = { voters, learners: [] }
    const tuning = {
      electionTimeoutTicks: 10,
      heartbeatTicks: 2,
      appendBytesMax: [1, 30, 1000][rng.below(3)]!,
      inflightBytesMax: [1, 60, 100000][rng.below(3)]!,
      seed,
    }
    const live = this.#changesMembers ? names : voters
    this.nodes = live.map(id => new TestNode(id, configuration, tuning, () => ++this.#data, this.invariants))
    for (const node of this.nodes) {
      this.invariants.nodes.set(node.id, node)
      node.start()
    }
  }

  node(id: string): TestNode {
    return this.invariants.nodes.get(id)!
  }

  #chance(permille: number): boolean {
    return this.#rng.below(1000) < permille
  }

  #any<T>(items: readonly T[]): T {
    return items[this.#rng.below(items.length)]!
  }

  #connected(a: string, b: string): boolean {
    return (this.#group.get(a) ?? 0) === (this.#group.get(b) ?? 0)
  }

  #collect(node: TestNode): void {
    if (!node.up) return
    for (const outgoing of node.take()) {
      this.invariants.sent(node, outgoing)
      if (this.invariants.nodes.has(outgoing.to)) this.#letters.push({ from: node.id, ...outgoing })
    }
  }

  #deliver(position: number): void {
    const [letter] = this.#letters.splice(position, 1)
    const to = this.node(letter!.to)
    if (!to.up || !this.#connected(letter!.from, letter!.to)) return
    to.raft.heard(letter!.from)
    to.raft.step(letter!.from, letter!.message)
    this.#collect(to)
  }

  runHostile(steps: number): void {
    for (let i = 0; i < steps; i++) this.#hostileStep()
  }

  #hostileStep(): void {
    const rng = this.#rng
    if (this.#letters.length > lettersMax) this.#letters.splice(0, this.#letters.length - lettersMax)
    if (this.#chance(this.#partitionsPermille)) this.#partition()
    const node = this.#any(this.nodes)
    if (!node.up) {
      if (rng.below(20) === 0) this.#restart(node)
      return
    }
    if (this.#chance(this.#crashesPermille)) return this.#crash(node)
    const action = rng.below(100)
    if (action < 18) this.#tick(node)
    else if (action < 62) return this.#deliverSome()
    else if (action < 70) this.#propose(node)
    else if (action < 78) node.beginSync()
    else if (action < 87) node.endSync()
    else if (action < 89) this.#changeMembers(node)
    else if (action < 90) node.raft.transferLeadership(this.#any(names))
    else if (action < 93) this.#read(node)
    else if (action < 94) node.compact(Math.max(0, node.raft.commitIndex - rng.below(5)))
    else if (action < 97) this.#fetch(node)
    else if (action < 98) node.raft.disconnected(this.#any(names))
    else if (action < 99 && rng.below(5) === 0) node.raft.campaign()
    // Messages of several events may be taken together.
    if (rng.below(4) > 0) this.#collect(node)
  }

  #deliverSome(): void {
    if (this.#letters.length === 0) return
    const rng = this.#rng
    const position = rng.below(100) < this.#reordersPercent ? rng.below(this.#letters.length) : 0
    if (rng.below(100) < this.#duplicatesPercent) this.#letters.push(this.#letters[position]!)
    if (rng.below(100) < this.#losesPercent) this.#letters.splice(position, 1)
    else this.#deliver(position)
  }

  #tick(node: TestNode): void {
    if (node.id !== this.#slow || this.#rng.below(10) === 0) node.raft.tick()
  }

  #propose(node: TestNode): void {
    if (node.raft.role === 'leader') node.propose(1 + this.#rng.below(3), 1 + this.#rng.below(20))
  }

  #read(node: TestNode): void {
    this.invariants.readAsked(++this.#context)
    node.raft.readIndex(this.#context)
  }

  #partition(): void {
    this.#group.clear()
    this.#slow = this.#any(this.nodes).id
    if (this.#rng.below(3) > 0) for (const { id } of this.nodes) this.#group.set(id, this.#rng.below(2))
  }

  #crash(node: TestNode): void {
    node.crash(writes => this.#rng.below(writes + 1))
  }

  /** The applied state may be older than it was, and holds nothing that the log on disk lacks (src/raft/DESIGN.md). */
  #restart(node: TestNode): void {
    const { base, lastIndex } = node.log
    let applied = Math.min(node.raft.commitIndex, lastIndex)
    while (applied > base.index && node.log.term(applied) !== this.invariants.committedEntries[applied]?.term) applied--
    node.start(base.index + this.#rng.below(applied - base.index + 1))
    node.beginSync()
  }

  #fetch(node: TestNode): void {
    const from = node.wanted && this.node(node.wanted.from)
    if (from?.up && this.#connected(from.id, node.id) && from.raft.commitIndex >= node.wanted!.index) node.install(from)
  }

  #changeMembers(node: TestNode): void {
    if (!this.#changesMembers || !node.raft.mayChangeConfiguration()) return
    const { voters, learners } = node.raft.configuration
    const member = this.#any(names)
    const without = (list: readonly string[]) => list.filter(id => id !== member)
    let next: Configuration
    if (voters.includes(member)) {
      if (voters.length <= 2) return
      next = { voters: without(voters), learners: this.#rng.below(2) ? [...learners, member] : learners }
    } else if (learners.includes(member)) next = { voters: [...voters, member], learners: without(learners) }
    else
      next = this.#rng.below(2)
        ? { voters, learners: [...learners, member] }
        : { voters: [...voters, member], learners }
    node.propose(1, 5, next)
  }

  /** All are up, connected and quick: somebody must lead, commit a new entry, and all members must have it. */
  runKind(ticksMax: number): number {
    this.#group.clear()
    for (const node of this.nodes) if (!node.up) this.#restart(node)
    let target: number | undefined
    for (let tick = 1; tick <= ticksMax; tick++) {
      for (const node of this.nodes) node.raft.tick()
      this.#settle()
      const leader = this.nodes.find(node => node.raft.role === 'leader' && node.raft.mayChangeConfiguration())
      if (!leader) continue
      if (target === undefined || leader.log.lastIndex < target) {
        leader.propose(1)
        target = leader.log.lastIndex
        this.#settle()
      }
      const { voters, learners } = leader.raft.configuration
      const wanted = target
      if ([...voters, ...learners].every(id => this.node(id).raft.commitIndex >= wanted)) return tick
    }
    assert(false, `no progress in ${ticksMax} ticks`)
  }

  #settle(): void {
    for (let round = 0; round < 2000; round++) {
      for (const node of this.nodes) {
        node.sync()
        this.#fetch(node)
        this.#collect(node)
      }
      if (this.#letters.length === 0) return
      for (let count = this.#letters.length; count > 0; count--) this.#deliver(0)
    }
    assert(false, 'messages never cease')
  }
}
