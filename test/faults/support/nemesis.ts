import type { Rng } from '../../../src/base/rng.js'
import { fakeTime, type Member } from './member.js'
import type { Network } from './network.js'

/** What a fault acts on. */
export interface Stage {
  readonly network: Network
  readonly members: readonly Member[]
  readonly rng: Rng
  leader(): Promise<Member>
}

/** One fault at work. */
export interface Begun {
  readonly what: string
  /** Members whose programs cannot expect to get on meanwhile. */
  readonly struck: readonly Member[]
  end(): Promise<void>
}

export type FaultName = keyof typeof faults

const pick = <T>(rng: Rng, list: readonly T[]): T => list[rng.below(list.length)]!

/** By Fisher and Yates. */
function shuffled<T>(rng: Rng, list: readonly T[]): T[] {
  const result = [...list]
  for (let i = result.length - 1; i > 0; i--) {
    const j = rng.below(i + 1)
    ;[result[i], result[j]] = [result[j]!, result[i]!]
  }
  return result
}

function onNetwork({ network }: Stage, struck: Member, what: string, act: () => void): Begun {
  act()
  return { what, struck: [struck], end: async () => network.heal() }
}

async function killed(members: readonly Member[], what: string): Promise<Begun> {
  await Promise.all(members.map(member => member.crash()))
  const end = async (): Promise<void> => {
    // one that does not come up must not keep the others down
    const results = await Promise.allSettled(members.map(member => member.start()))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }
  return { what, struck: members, end }
}

function paused(member: Member, what: string): Begun {
  member.pause()
  return { what, struck: [member], end: async () => member.resume() }
}

function clockAt(member: Member, hours: number): Begun {
  member.clock(hours * 3600)
  return {
    what: `the clock of ${member.name} jumps ${hours} hours`,
    struck: [member],
    end: async () => member.clock(0),
  }
}

const eitherWay = (rng: Rng, hours: number): number => (rng.below(2) === 0 ? hours : -hours)

/** Each kind; whom it strikes is drawn. */
export const faults = {
  /** SIGKILL, and a new start. */
  kill: async ({ members, rng }: Stage) => {
    const member = pick(rng, members)
    return killed([member], `${member.name} is killed`)
  },
  killLeader: async (stage: Stage) => {
    const leader = await stage.leader()
    return killed([leader], `the leader ${leader.name} is killed`)
  },
  killAll: async ({ members }: Stage) => killed(members, 'all are killed'),
  pause: async ({ members, rng }: Stage) => {
    const member = pick(rng, members)
    return paused(member, `${member.name} is stopped`)
  },
  pauseLeader: async (stage: Stage) => {
    const leader = await stage.leader()
    return paused(leader, `the leader ${leader.name} is stopped`)
  },
  /** The cable is out: silence. */
  unplug: async (stage: Stage) => {
    const member = pick(stage.rng, stage.members)
    return onNetwork(stage, member, `${member.name} is unplugged`, () => stage.network.unplug(member.name))
  },
  unplugLeader: async (stage: Stage) => {
    const leader = await stage.leader()
    return onNetwork(stage, leader, `the leader ${leader.name} is unplugged`, () => stage.network.unplug(leader.name))
  },
  /** One hears nobody, and is heard. */
  deaf: async (stage: Stage) => {
    const deaf = pick(stage.rng, stage.members)
    return onNetwork(stage, deaf, `${deaf.name} hears nobody`, () => {
      for (const other of stage.members) if (other !== deaf) stage.network.drop(other.name, deaf.name)
    })
  },
  /** The leader hears all, and is not heard. */
  muteLeader: async (stage: Stage) => {
    const mute = await stage.leader()
    return onNetwork(stage, mute, `nobody hears the leader ${mute.name}`, () => {
      for (const other of stage.members) if (other !== mute) stage.network.drop(mute.name, other.name)
    })
  },
  /** The leader and one other do not hear each other; all others hear both. */
  bridge: async (stage: Stage) => {
    const leader = await stage.leader()
    const others = stage.members.filter(member => member !== leader)
    const other = pick(stage.rng, others)
    return onNetwork(stage, other, `nothing between the leader ${leader.name} and ${other.name}`, () => {
      stage.network.drop(leader.name, other.name)
      stage.network.drop(other.name, leader.name)
    })
  },
  /** Connections of one are reset, new ones refused. */
  reject: async (stage: Stage) => {
    const member = pick(stage.rng, stage.members)
    return onNetwork(stage, member, `${member.name} and all others refuse each other`, () => {
      for (const other of stage.members) if (other !== member) stage.network.reject(member.name, other.name)
    })
  },
  slow: async (stage: Stage) => {
    const member = pick(stage.rng, stage.members)
    const act = (): void => stage.network.impair(member.name, 1000, 0, 100)
    return onNetwork(stage, member, `the link of ${member.name} is slow`, act)
  },
  lossy: async (stage: Stage) => {
    const member = pick(stage.rng, stage.members)
    const act = (): void => stage.network.impair(member.name, 8000, 0.1, 20)
    return onNetwork(stage, member, `the link of ${member.name} loses packets`, act)
  },
  clock: async ({ members, rng }: Stage) => clockAt(pick(rng, members), eitherWay(rng, 6)),
  clockLeader: async (stage: Stage) => clockAt(await stage.leader(), eitherWay(stage.rng, 6)),
  /** So far ahead that all certificates have ended, for one. */
  certificates: async ({ members, rng }: Stage) => clockAt(pick(rng, members), 3 * 365 * 24),
  disk: async ({ members, rng }: Stage) => {
    const member = pick(
      rng,
      members.filter(({ onSmallDisk }) => onSmallDisk),
    )
    member.fillDisk()
    return { what: `the disk of ${member.name} is full`, struck: [member], end: async () => member.freeDisk() }
  },
  /** SIGTERM, and a new start, one after the other. */
  rolling: async ({ members, rng }: Stage) => {
    const order = shuffled(rng, members)
    for (const member of order) {
      const end = await member.terminate()
      if (end !== '0') throw new Error(`the node of ${member.name} ends with ${end} on SIGTERM`)
      await member.start()
    }
    return { what: `${order.map(({ name }) => name).join(', ')} restarted in turn`, struck: [], end: async () => {} }
  },
} satisfies Record<string, (stage: Stage) => Promise<Begun>>

export const faultNames = Object.keys(faults) as FaultName[]

/** Why a fault cannot be had here, or undefined. */
export function faultSkip(name: FaultName): string | undefined {
  const needClock: readonly FaultName[] = ['clock', 'clockLeader', 'certificates']
  if (needClock.includes(name) && fakeTime === undefined) return `${name}: needs libfaketime (Debian: faketime)`
  return undefined
}
