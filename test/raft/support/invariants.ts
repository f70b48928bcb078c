import { assert } from '../../../src/base/assert.js'
import type { HardState, Outgoing, RaftEntry, Role } from '../../../src/raft/types.js'
import type { TestNode, Watcher } from './test-node.js'

interface Known {
  readonly term: number
  readonly data: number
}

/** The properties of Raft figure 3, and what rkfs adds about stable storage, checked as things happen. */
export class Invariants implements Watcher {
  readonly nodes = new Map<string, TestNode>()
  readonly #leaders = new Map<number, string>()
  readonly #entries = new Map<string, { data: number; previousTerm: number }>()
  readonly #votes = new Map<string, string>()
  readonly committedEntries: (Known | undefined)[] = []
  readonly #reads = new Map<number, number>()
  readsServed = 0
  elections = 0
  truncations = 0
  snapshots = 0

  get committedMax(): number {
    return this.committedEntries.length - 1
  }

  /** Log matching (§5.3), by induction: index and term name one entry and the one before it. */
  appended(node: TestNode, entries: readonly RaftEntry<number>[]): void {
    for (const { index, term, data } of entries) {
      const key = `${index}/${term}`
      const previousTerm = node.log.term(index - 1)!
      const known = this.#entries.get(key)
      if (!known) this.#entries.set(key, { data, previousTerm })
      else
        assert(
          known.data === data && known.previousTerm === previousTerm,
          `log matching: ${node.id} has another ${key}`,
        )
    }
  }

  truncated(node: TestNode, from: number): void {
    this.truncations++
    assert(from > node.raft.commitIndex, `${node.id} truncates what it knows to be committed, from ${from}`)
  }

  /** State-machine safety (§5.4.3), and stable storage on a majority of the leader's configuration. */
  committed(node: TestNode, index: number): void {
    for (let i = node.log.firstIndex; i <= index; i++) {
      const { term, data } = node.log.entry(i)!
      const known = (this.committedEntries[i] ??= { term, data })
      assert(known.term === term && known.data === data, `${node.id} commits another entry ${i}`)
    }
    if (node.raft.role !== 'leader') return
    const { voters } = node.raft.configuration
    const term = node.log.term(index)
    assert(term === node.raft.term, `${node.id} commits ${index} of term ${term} by counting (§5.4.2)`)
    const stable = voters.filter(voter => this.nodes.get(voter)!.disk.term(index) === term).length
    assert(stable * 2 > voters.length, `${node.id} commits ${index} stable on ${stable} of ${voters.length}`)
  }

  roleChanged(node: TestNode, role: Role, term: number): void {
    if (role !== 'leader') return
    this.elections++
    const other = this.#leaders.get(term)
    assert(
      other === undefined || other === node.id,
      `election safety (§5.2): ${other} and ${node.id} lead term ${term}`,
    )
    this.#leaders.set(term, node.id)
    for (let i = node.log.firstIndex - 1; i <= this.committedMax; i++) {
      const known = this.committedEntries[i]
      assert(!known || node.log.term(i) === known.term, `leader completeness (§5.4.3): ${node.id} lacks ${i}`)
    }
  }

  hardStateSaved(node: TestNode, { term, vote }: HardState): void {
    if (vote !== undefined) this.#vote(node.id, term, vote)
  }

  #vote(voter: string, term: number, candidate: string): void {
    const key = `${voter}/${term}`
    const before = this.#votes.get(key)
    assert(before === undefined || before === candidate, `${voter} votes twice in term ${term}`)
    this.#votes.set(key, candidate)
  }

  /** What a message promises must be on the disk by now. */
  sent(node: TestNode, { to, message }: Outgoing<number>): void {
    const { term, vote } = node.hardState
    if (message.kind === 'vote-reply' && message.granted) {
      this.#vote(node.id, message.term, to)
      assert(term > message.term || (term === message.term && vote === to), `${node.id} forgot its vote for ${to}`)
    }
    if (message.kind !== 'pre-vote' && message.kind !== 'pre-vote-reply')
      assert(message.term <= term, `${node.id} sends term ${message.term} before it is saved`)
    const match = message.kind === 'heartbeat-reply' || message.kind === 'append-reply' ? message.match : 0
    if (match > 0 && message.term === node.raft.term) {
      const known = node.disk.term(match)
      const compacted = match < node.disk.base.index
      assert(compacted || known === node.log.term(match), `${node.id} acknowledges ${match}, which is not on its disk`)
      const leaders = this.nodes.get(to)!
      if (leaders.up && leaders.raft.term === message.term && leaders.raft.role === 'leader')
        assert(
          compacted || match < leaders.log.base.index || known === leaders.log.term(match),
          `${node.id} acknowledges ${match}, which ${to} does not have`,
        )
    }
  }

  readAsked(context: number): void {
    this.#reads.set(context, this.committedMax)
  }

  /** Linearizable reads (thesis §6.4): nothing committed before the question is missing. */
  readReady(_node: TestNode, context: number, index: number): void {
    this.readsServed++
    assert(index >= this.#reads.get(context)!, `read ${context} at ${index} misses ${this.#reads.get(context)}`)
  }

  snapshotNeeded(): void {
    this.snapshots++
  }
}
