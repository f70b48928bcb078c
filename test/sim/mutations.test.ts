import t from 'tap'
import type { LogStore } from '../../src/channel/log-port.js'
import type { HardState } from '../../src/raft/types.js'
import type { Mounted } from '../../src/channel/mount-port.js'
import { intercept } from './intercept.js'
import { Simulation, type Mutation } from './simulation.js'
import type { Violation } from './checkers/violation.js'

const seedsMax = 80

/** The seeds that notice, and who did. */
function* caught(make: () => Mutation): Generator<{ seed: number; checker: string }, void, undefined> {
  for (let seed = 1; seed <= seedsMax; seed++) {
    try {
      new Simulation(seed, undefined, make()).run()
    } catch (error) {
      yield { seed, checker: (error as Violation).checker ?? (error as Error).message }
    }
  }
}

/** Counts as stable what is only written: a commit without the leader's own sync, an acknowledgement before it. */
function early(): Mutation {
  return {
    ports: (_, ports) => {
      const { log } = ports
      const lying: LogStore = intercept(log, {
        get durableIndex() {
          return log.lastIndex
        },
        sync: onDurable => ports.delay(1, () => onDurable(log.lastIndex)),
      })
      return { ...ports, log: lying }
    },
  }
}

/** A vote is not kept. */
function forgetful(): Mutation {
  return {
    ports: (_, ports) => {
      const { log } = ports
      const forgets = intercept<LogStore>(log, {
        saveHardState: ({ term }: HardState) => log.saveHardState({ term, vote: undefined }),
      })
      return { ...ports, log: forgets }
    },
  }
}

/** The state forgets which changes of each member it holds, where it is read from the disk. */
function sessionless(): Mutation {
  return {
    ports: (_, ports) => {
      const { state } = ports
      const drops = intercept(state, {
        begin: () => {
          const writer = state.begin!()
          return { ...writer, put: write => write.table === 'session' || writer.put(write) }
        },
      })
      return { ...ports, state: drops }
    },
  }
}

/** Kernels are told nothing. */
function silent(): Mutation {
  return {
    mounted: (_, frontend) => {
      const { mounted } = frontend
      frontend.mounted = intercept<Mounted>(mounted!, { invalidate: () => {} })
    },
  }
}

/** `checkers`: one of these is the first to notice; the first of them notices, too, if not at once. */
const mutations = {
  'a disk that says it has synced before it has': { make: early, checkers: ['history', 'acknowledged'] },
  'a vote that is not kept': { make: forgetful, checkers: ['votes'] },
  'sessions that are not kept': { make: sessionless, checkers: ['history', 'sessions', 'acknowledged', 'serving'] },
  'invalidations that are swallowed': { make: silent, checkers: ['kernel-cache', 'pages'] },
}

for (const [what, { make, checkers }] of Object.entries(mutations)) {
  void t.test(`the checkers notice ${what}`, { timeout: 300_000 }, t => {
    const found = []
    for (const one of caught(make)) {
      found.push(one)
      if (one.checker === checkers[0]) break
    }
    t.comment(JSON.stringify(found))
    const [first] = found
    t.ok(first !== undefined && checkers.includes(first.checker), `noticed by ${first?.checker}`)
    t.equal(found.at(-1)?.checker, checkers[0])
    t.end()
  })
}
