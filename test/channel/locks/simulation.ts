import { Rng } from '../../../src/base/rng.js'
import { EAGAIN, EDEADLK, EINTR, EIO, ENOLCK } from '../../../src/base/errno.js'
import { overlap, type Lock, type LockSpace, type LockType } from '../../../src/channel/locks/lock.js'
import { LockClient } from '../../../src/channel/locks/lock-client.js'
import type { LockMessage } from '../../../src/channel/locks/lock-messages.js'
import { LockServer } from '../../../src/channel/locks/lock-server.js'
import { lockTiming } from '../../../src/channel/locks/lock-timing.js'

const stepMs = 10
const members = ['a', 'b', 'c']

export interface Seen {
  granted: number
  lost: number
  denied: number
  deposed: number
  interrupted: number
  rounds: number
}

/** A program: one owner, that locks, works, and gives back, or waits in vain. */
interface Program {
  readonly owner: string
  /** What it believes to hold, by range. */
  waits: { id: number; lock: Lock; since: number } | undefined
  holds: { lock: Lock; until: number } | undefined
  releasing: boolean
}

interface Node {
  readonly id: string
  session: number
  /** Its clock runs at this speed, from this time on. */
  speed: number
  client: LockClient
  /** While it believes to lead; it may have been deposed long ago. */
  server: LockServer | undefined
  believes: { id: string; term: number } | undefined
  stoppedUntil: number
  programs: Program[]
}

/**
 * Three members over a network that loses, repeats and reorders as it likes, with clocks that run apart by up to 5 %, members
 * that stand still, and leaders that do not know that they are none any more. Leadership is an oracle's: a confirmation
 * comes only if the asking member leads at that moment. First all goes wrong, then nothing, and then all must be served.
 */
export function simulate(seed: number): Seen {
  const rng = new Rng(seed)
  const seen: Seen = { granted: 0, lost: 0, denied: 0, deposed: 0, interrupted: 0, rounds: 0 }
  let now = 0
  let calm = false
  let ending = false
  let leader = { id: 'a', term: 1 }
  let due: { at: number; run: () => void }[] = []
  const chance = (percent: number): boolean => rng.below(1000) < percent * 10
  const later = (ms: number, run: () => void): void => void due.push({ at: now + ms, run })
  const cut = new Map<string, number>()
  const isCut = (x: string, y: string): boolean => !calm && (cut.get(x < y ? x + y : y + x) ?? 0) > now

  const nodes: Node[] = members.map(id => start(id, 1))
  const node = (id: string): Node => nodes.find(each => each.id === id)!
  const local = (each: Node): number => now * each.speed

  function start(id: string, session: number): Node {
    const made: Node = {
      id,
      session,
      speed: 0.95 + rng.below(101) / 1000,
      client: undefined as never,
      server: undefined,
      believes: undefined,
      stoppedUntil: 0,
      // the fourth is a second thread of the first: their locks are one owner's
      programs: Array.from({ length: 4 }, (_, i) => ({
        owner: `p:${session}:${i % 3}`,
        waits: undefined,
        holds: undefined,
        releasing: false,
      })),
    }
    made.client = new LockClient(
      session,
      {
        send: (to, message) => send(made, to, message),
        lost: locks => {
          for (const { owner } of locks) {
            for (const program of made.programs) {
              if (program.owner !== owner || program.holds === undefined) continue
              program.holds = undefined
              seen.lost++
            }
          }
        },
      },
      lockTiming,
    )
    return made
  }

  function send(from: Node, to: string, message: LockMessage): boolean {
    const { session } = from
    if (isCut(from.id, to)) return rng.below(2) === 0
    const copies = calm ? 1 : chance(6) ? 0 : chance(6) ? 2 : 1
    for (let i = 0; i < copies; i++) {
      const ms = from.id === to ? 0 : calm ? stepMs : stepMs + rng.below(chance(5) ? 15_000 : 60)
      const deliver = (): void => {
        const target = node(to)
        if (target.stoppedUntil > now) return later(target.stoppedUntil - now, deliver)
        if (from.session !== session) return
        if (message.kind === 'lock-calls') target.server?.receive(from.id, message, local(target))
        else target.client.receive(from.id, message, local(target))
      }
      later(ms, deliver)
    }
    return true
  }

  function lead(each: Node, term: number): void {
    const server: LockServer = new LockServer(
      term,
      local(each),
      {
        send: (to, message) => send(each, to, message),
        endSession: () => {},
        hasAllOf: () => false,
        confirm: context => {
          // a round of heartbeats: what counts is who leads when the majority answers, after the question
          later(stepMs + rng.below(30), () => {
            if (leader.id !== each.id || leader.term !== term || each.server !== server) return
            later(rng.below(30), () => each.server === server && server.confirmed(context, term))
          })
        },
      },
      lockTiming,
    )
    each.server = server
  }

  /** Each believes what it believes when it hears of it. */
  function elect(id: string, term: number): void {
    leader = { id, term }
    seen.deposed++
    for (const each of nodes) {
      later(calm ? stepMs : rng.below(chance(20) ? 30_000 : 4000), () => {
        if (each !== node(each.id) || (each.believes?.term ?? 0) >= term) return
        each.believes = { id, term }
        each.server = undefined
        if (each.id === id) lead(each, term)
        each.client.leaderChanged(each.believes, local(each))
      })
    }
    const chosen = node(id)
    later(0, () => {
      if ((chosen.believes?.term ?? 0) >= term) return
      chosen.believes = { id, term }
      lead(chosen, term)
      chosen.client.leaderChanged(chosen.believes, local(chosen))
    })
  }

  function step(each: Node, program: Program): void {
    const { client } = each
    if (program.holds !== undefined) {
      if (program.holds.until > now || program.releasing) return
      program.releasing = true
      const { lock } = program.holds
      // what it does last under the lock, it does while it holds it; then it is on its way to a majority
      const held = program.holds
      client.release(
        { ...lock, start: 0, end: 20 },
        30_000,
        local(each),
        ready => {
          later(calm ? stepMs : rng.below(200), () => {
            if (program.holds === held) program.holds = undefined
            if (node(each.id) === each) ready()
          })
        },
        () => (program.releasing = false),
      )
      return
    }
    if (program.waits !== undefined) {
      if (!calm && chance(0.2)) {
        seen.interrupted++
        client.cancel(program.waits.id)
      }
      return
    }
    if (program.releasing || ending || !chance(calm ? 5 : 3)) return
    const space: LockSpace = chance(30) ? 'flock' : 'posix'
    // a thread that weakens its own owner's lock weakens it before the leader says so: no use to look at that
    const shared = program.owner.endsWith(':0') && space === 'posix'
    const type: LockType = !shared && chance(50) ? 'read' : 'write'
    const from = rng.below(6)
    const start = space === 'flock' ? 0 : from
    const end = space === 'flock' ? 20 : from + rng.below(4)
    const lock: Lock = { space, ino: 1 + rng.below(2), owner: program.owner, type, start, end, pid: 1 }
    let answered = false
    const asked = { id: 0, lock, since: now }
    program.waits = asked
    asked.id = client.acquire(lock, chance(70), 5000, local(each), (errno): void => {
      if (answered) throw new Error('answered twice')
      answered = true
      if (program.waits === asked) program.waits = undefined
      if (errno === 0) {
        seen.granted++
        program.holds = { lock, until: now + rng.below(calm ? 300 : chance(20) ? 60_000 : 6000) }
      } else if ([EAGAIN, EDEADLK, EINTR, ENOLCK, EIO].includes(errno)) seen.denied++
      else throw new Error(`errno ${errno}`)
    })
    if (answered) program.waits = undefined
  }

  /** What members believe to hold, looking at their clocks before they let anybody do anything. */
  function check(): void {
    const held: { node: string; lock: Lock }[] = []
    for (const each of nodes) {
      if (each.stoppedUntil > now || !each.client.valid(local(each))) continue
      for (const lock of each.client.held) held.push({ node: each.id, lock })
    }
    for (const x of held) {
      for (const y of held) {
        if (x === y || x.lock.space !== y.lock.space || x.lock.ino !== y.lock.ino) continue
        if (x.node === y.node && x.lock.owner === y.lock.owner) continue
        if (!overlap(x.lock, y.lock) || (x.lock.type === 'read' && y.lock.type === 'read')) continue
        throw new Error(`at ${now}: ${JSON.stringify(x)} and ${JSON.stringify(y)}`)
      }
    }
  }

  function trouble(): void {
    if (chance(0.15)) elect(members[rng.below(3)]!, leader.term + 1)
    if (chance(0.3)) {
      const [x, y] = [rng.below(3), rng.below(3)].sort()
      if (x !== y) cut.set(members[x!]! + members[y!]!, now + rng.below(40_000))
    }
    if (chance(0.05)) nodes[rng.below(3)]!.stoppedUntil = now + rng.below(20_000)
    if (chance(0.05)) {
      // a process dies, its locks with it as far as it is concerned, and another takes its place
      const old = nodes[rng.below(3)]!
      const fresh = start(old.id, old.session + 1)
      old.session = -1
      nodes[nodes.indexOf(old)] = fresh
      const { believes } = old
      if (leader.id === old.id)
        elect(
          members.find(id => id !== old.id)!,
          leader.term + 1,
        )
      if (believes !== undefined && believes.id !== old.id) {
        later(rng.below(1000), () => {
          if ((fresh.believes?.term ?? 0) >= believes.term) return
          fresh.believes = believes
          fresh.client.leaderChanged(believes, local(fresh))
        })
      }
    }
    if (chance(0.3)) {
      const each = nodes[rng.below(3)]!
      const other = members[rng.below(3)]!
      if (each.id !== other) each.client.connected(other, local(each))
    }
  }

  function run(ms: number): void {
    for (const end = now + ms; now < end;) {
      now += stepMs
      for (;;) {
        const ready = due.filter(each => each.at <= now)
        if (ready.length === 0) break
        due = due.filter(each => each.at > now)
        for (const each of ready) each.run()
        check()
      }
      if (!calm) trouble()
      for (const each of nodes) {
        if (each.stoppedUntil > now) continue
        if (now % 100 === 0) {
          each.server?.tick(local(each), chance(50) ? members : undefined, members)
          each.client.tick(local(each))
        }
        for (const program of each.programs) step(each, program)
      }
      check()
    }
  }

  elect('a', 1)
  run(120_000)
  calm = true
  elect(members[rng.below(3)]!, leader.term + 1)
  for (const each of nodes) each.stoppedUntil = 0
  // long enough for what was begun in the time of trouble to end
  run(80_000)
  const before = seen.granted
  run(20_000)
  if (seen.granted - before < 20) throw new Error(`only ${seen.granted - before} grants in calm weather`)
  for (const each of nodes) {
    for (const { waits } of each.programs) {
      // two of three programs may wait for each other's turns, but nobody for ever
      if (waits !== undefined && now - waits.since > 20_000) throw new Error(`${each.id} waits since ${waits.since}`)
    }
    seen.rounds++
  }
  // each wait gets its turn, and then all is given back
  ending = true
  run(30_000)
  for (const each of nodes) {
    const left = [...each.client.held, ...(each.server?.table.held ?? [])]
    if (left.length > 0) throw new Error(`${each.id} knows of a lock that nobody has: ${JSON.stringify(left)}`)
  }
  return seen
}
