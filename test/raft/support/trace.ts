import { assert } from '../../../src/base/assert.js'
import type { Configuration, RaftMessage } from '../../../src/raft/types.js'
import { Invariants } from './invariants.js'
import { TestNode } from './test-node.js'

interface Letter {
  readonly from: string
  readonly to: string
  readonly message: RaftMessage<number>
}

/** One line that says all of a message. */
function describe(message: RaftMessage<number>): string {
  const { kind, term } = message
  switch (message.kind) {
    case 'pre-vote':
    case 'vote':
      return `${kind} term=${term} last=${message.lastIndex}/${message.lastTerm}${message.transfer ? ' transfer' : ''}`
    case 'pre-vote-reply':
    case 'vote-reply':
      return `${kind} term=${term} ${message.granted ? 'granted' : 'refused'}`
    case 'append': {
      const { previousIndex, previousTerm, first, last, commit } = message
      const range = last < first ? 'empty' : `entries=${first}..${last}`
      return `append term=${term} previous=${previousIndex}/${previousTerm} ${range} commit=${commit}`
    }
    case 'append-reply': {
      const { success, match, rejectedIndex, hintIndex, hintTerm } = message
      const recovering = message.recovering ? ' recovering' : ''
      if (success) return `append-reply term=${term} match=${match} written=${hintIndex}${recovering}`
      return `append-reply term=${term} refused=${rejectedIndex} hint=${hintIndex}/${hintTerm}${recovering}`
    }
    case 'heartbeat':
      return `heartbeat term=${term} commit=${message.commit} round=${message.round}`
    case 'heartbeat-reply':
      return `heartbeat-reply term=${term} match=${message.match} round=${message.round}${message.recovering ? ' recovering' : ''}`
    case 'snapshot':
      return `snapshot term=${term} index=${message.index}`
    case 'timeout-now':
      return `timeout-now term=${term} target=${message.target}`
    case 'term-question':
      return `term-question term=${term}`
    case 'term-answer':
      return `term-answer term=${term} leader=${message.leader ?? '-'}`
    case 'read-index':
      return `read-index term=${term} context=${message.context}`
    case 'read-index-reply':
      return `read-index-reply term=${term} context=${message.context} index=${message.index}`
  }
}

function describeConfiguration({ voters, learners }: Configuration): string {
  return `voters=${voters.join(',')}${learners.length > 0 ? ` learners=${learners.join(',')}` : ''}`
}

/** A group that is driven by commands and tells what happens, with the invariants checked on the way. */
export class Trace extends Invariants {
  #letters: Letter[] = []
  #lines: string[] = []
  #cut = new Set<string>()
  #data = 0

  run(line: string): string[] {
    this.#lines = []
    const [command, ...words] = line.split(/\s+/)
    const options = new Map<string, string>()
    const plain: string[] = []
    for (const word of words) {
      const [key, value] = word.split('=')
      if (value === undefined) plain.push(word)
      else options.set(key!, value)
    }
    this.#command(command!, plain, options)
    for (const node of this.nodes.values()) this.#collect(node)
    return this.#lines
  }

  #command(command: string, words: readonly string[], options: ReadonlyMap<string, string>): void {
    const list = (key: string) => options.get(key)?.split(',').filter(Boolean) ?? []
    const number = (key: string, otherwise: number) => Number(options.get(key) ?? otherwise)
    const node = () => this.#node(words[0]!)
    switch (command) {
      case 'add-nodes':
        return this.#addNodes(Number(words[0]), { voters: list('voters'), learners: list('learners') }, number)
      case 'tick':
        for (let i = 0; i < Number(words[1] ?? 1); i++) {
          for (const ticked of this.#those(words[0]!)) if (ticked.up) ticked.raft.tick()
          for (const ticked of this.#those(words[0]!)) this.#collect(ticked)
          if (options.has('deliver') || words.includes('settled')) this.#settle(words.includes('settled'))
        }
        return
      case 'campaign':
        return node().raft.campaign()
      case 'deliver':
        if (words.length === 2) return this.#deliverAll(letter => letter.from === words[0] && letter.to === words[1])
        return this.#settle(false)
      case 'settle':
        return this.#settle(true)
      case 'lose':
        this.#letters = this.#letters.filter(({ from, to }) => from !== words[0] || (words[1] && to !== words[1]))
        return
      case 'propose':
        return node().propose(Number(words[1] ?? 1), number('size', 10))
      case 'sync':
        for (const synced of this.#those(words[0]!)) synced.sync()
        return
      case 'begin-sync':
        return node().beginSync()
      case 'end-sync':
        return node().endSync()
      case 'durable':
        return node().raft.durable(Number(words[1]), options.has('term') ? number('term', 0) : undefined)
      case 'conf':
        return node().propose(1, 5, { voters: list('voters'), learners: list('learners') })
      case 'may-change-configuration':
        return this.#say(String(node().raft.mayChangeConfiguration()))
      case 'transfer-leadership':
        return this.#say(String(node().raft.transferLeadership(words[1]!)))
      case 'read-index':
        this.readAsked(Number(words[1]))
        return node().raft.readIndex(Number(words[1]))
      case 'disconnected':
        return node().raft.disconnected(words[1]!)
      case 'drop':
        this.#cut.add(`${words[0]}>${words[1]}`)
        return
      case 'partition':
        return this.#partition(words)
      case 'heal':
        return this.#cut.clear()
      case 'crash':
        return node().crash(writes => Math.min(number('keep', 0), writes))
      case 'restart':
        return node().start(number('applied', node().log.base.index))
      case 'put-back':
        return node().putBack(Number(words[1]))
      case 'owe': {
        const pledge = {
          term: number('term', 0),
          heldTerm: 0,
          index: number('index', 0),
          indexTerm: number('index-term', 0),
        }
        return node().raft.owe({ pledge, blind: false })
      }
      case 'compact':
        return node().compact(Number(words[1]))
      case 'fetch':
        assert(node().wanted, 'a snapshot is wanted')
        return node().install(this.#node(node().wanted!.from))
      case 'step':
        return node().raft.step(words[1]!, JSON.parse(words.slice(2).join(' ')) as RaftMessage<number>)
      case 'log':
        return this.#say(this.#describeLog(node()))
      case 'status':
        for (const shown of words[0] ? this.#those(words[0]) : this.nodes.values()) this.#status(shown)
        return
      default:
        assert(false, `no command ${command}`)
    }
  }

  #node(id: string): TestNode {
    const node = this.nodes.get(id)
    assert(node, `no member ${id}`)
    return node
  }

  #those(words: string): TestNode[] {
    return words === 'all'
      ? [...this.nodes.values()].filter(node => node.up)
      : words.split(',').map(id => this.#node(id))
  }

  #addNodes(count: number, given: Configuration, number: (key: string, otherwise: number) => number): void {
    const all = Array.from({ length: count }, (_, i) => String(this.nodes.size + i + 1))
    const learners = given.learners
    const voters = given.voters.length > 0 ? given.voters : all.filter(id => !learners.includes(id))
    const tuning = {
      electionTimeoutTicks: 10,
      heartbeatTicks: 2,
      appendBytesMax: number('append-bytes', 1000),
      inflightBytesMax: number('inflight-bytes', 10000),
      seed: 1,
    }
    for (const id of all) {
      const node = new TestNode(id, { voters, learners }, tuning, () => ++this.#data, this)
      this.nodes.set(id, node)
      node.start()
    }
  }

  /** Groups of members, separated by `|`; who is in none is alone. */
  #partition(words: readonly string[]): void {
    this.#cut.clear()
    const groups = words
      .join(' ')
      .split('|')
      .map(group => group.trim().split(/\s+/))
    const groupOf = (id: string) => groups.findIndex(group => group.includes(id))
    for (const from of this.nodes.keys())
      for (const to of this.nodes.keys())
        if (from !== to && (groupOf(from) !== groupOf(to) || groupOf(from) < 0)) this.#cut.add(`${from}>${to}`)
  }

  #collect(node: TestNode): void {
    if (!node.up) return
    for (const outgoing of node.take()) {
      this.sent(node, outgoing)
      const cut = !this.nodes.has(outgoing.to) || this.#cut.has(`${node.id}>${outgoing.to}`)
      this.#say(`${node.id} -> ${outgoing.to} ${describe(outgoing.message)}${cut ? ' (lost)' : ''}`)
      if (!cut) this.#letters.push({ from: node.id, ...outgoing })
    }
  }

  #deliverAll(wanted: (letter: Letter) => boolean): void {
    const letters = this.#letters.filter(wanted)
    this.#letters = this.#letters.filter(letter => !wanted(letter))
    for (const { from, to, message } of letters) {
      const node = this.#node(to)
      if (!node.up) continue
      node.raft.heard(from)
      node.raft.step(from, message)
      this.#collect(node)
    }
  }

  /** Delivers, and syncs if asked to, until nothing more happens. */
  #settle(sync: boolean): void {
    for (let round = 0; round < 200; round++) {
      this.#deliverAll(() => true)
      for (const node of this.nodes.values()) {
        if (sync && node.up) node.sync()
        this.#collect(node)
      }
      if (this.#letters.length === 0) return
    }
    assert(false, 'messages never cease')
  }

  #describeLog(node: TestNode): string {
    const { base, entries } = node.log
    return [`(${base.index}/${base.term})`, ...entries.map(({ index, term }) => `${index}/${term}`)].join(' ')
  }

  #status(node: TestNode): void {
    if (!node.up) return this.#say(`${node.id}: down`)
    const { role, term, leader, commitIndex, transferring, configuration } = node.raft
    const vote = node.hardState.vote ?? '-'
    const where = `commit=${commitIndex} last=${node.log.lastIndex} disk=${node.disk.lastIndex}`
    const moving = transferring ? ` transferring=${transferring}` : ''
    const members = describeConfiguration(configuration)
    this.#say(`${node.id}: ${role} term=${term} vote=${vote} leader=${leader ?? '-'} ${where}${moving} ${members}`)
    for (const other of this.nodes.keys()) {
      const progress = node.raft.progress(other)
      if (!progress) continue
      const { match, next, state, inflightBytes, active, recovering } = progress
      const how = `${active ? '' : ' inactive'}${recovering ? ' recovering' : ''}`
      this.#say(`  ${other}: ${state} match=${match} next=${next} inflight=${inflightBytes}${how}`)
    }
  }

  #say(line: string): void {
    this.#lines.push(line)
  }

  override committed(node: TestNode, index: number): void {
    super.committed(node, index)
    this.#say(`${node.id}: committed ${index}`)
  }
  override roleChanged(node: TestNode, role: 'leader', term: number, leader?: string): void {
    super.roleChanged(node, role, term)
    this.#say(`${node.id}: ${role} term=${term} leader=${leader ?? '-'}`)
  }
  override hardStateSaved(node: TestNode, state: { term: number; vote: string | undefined }): void {
    super.hardStateSaved(node, state)
    this.#say(`${node.id}: saved term=${state.term} vote=${state.vote ?? '-'}`)
  }
  override readReady(node: TestNode, context: number, index: number): void {
    super.readReady(node, context, index)
    this.#say(`${node.id}: read ${context} at ${index}`)
  }
  override truncated(node: TestNode, from: number): void {
    super.truncated(node, from)
    this.#say(`${node.id}: truncated from ${from}`)
  }
  configurationChanged(node: TestNode, configuration: Configuration): void {
    this.#say(`${node.id}: configuration ${describeConfiguration(configuration)}`)
  }
  rolledBack(node: TestNode, member: string, acknowledged: number): void {
    this.#say(`${node.id}: ${member} lacks what it acknowledged up to ${acknowledged}`)
  }
  lacks(node: TestNode, index: number, member: string): void {
    this.#say(`${node.id}: lacks ${index}, which ${member} has committed`)
  }
  twoLeaders(node: TestNode, one: string, other: string, term: number): void {
    this.#say(`${node.id}: ${one} and ${other} both lead in term ${term}`)
  }
  recovered(node: TestNode): void {
    this.#say(`${node.id}: recovered`)
  }
  override snapshotNeeded(node?: TestNode, from?: string, index?: number): void {
    super.snapshotNeeded()
    this.#say(`${node!.id}: needs a snapshot at ${index} from ${from}`)
  }
}

/**
 * Replays a trace and returns it with the output that came now. A trace is made of comments (`#`), commands, and under
 * each command `----` and its output, up to an empty line.
 */
export function replay(text: string): string {
  const trace = new Trace()
  const out: string[] = []
  let inOutput = false
  for (const line of text.split('\n')) {
    if (inOutput) {
      if (line === '') inOutput = false
      else continue
    }
    if (line === '----') {
      inOutput = true
      continue
    }
    if (line === '' || line.startsWith('#')) {
      if (line !== '' || out.at(-1) !== '') out.push(line)
      continue
    }
    out.push(line, '----', ...trace.run(line), '')
  }
  while (out.at(-1) === '') out.pop()
  return out.join('\n') + '\n'
}

/** A group whose member 1 leads term 1, with all that came before committed; whatever follows is checked (`Invariants`). */
export function ledByOne(count: number): Trace {
  const group = new Trace()
  group.run(`add-nodes ${count}`)
  group.run('campaign 1')
  group.run('settle')
  return group
}
