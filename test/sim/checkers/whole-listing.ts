import type { Reply } from '../../../src/channel/mount-port.js'
import { MemberLocks } from '../../../src/channel/locks/member-locks.js'
import { Frontend } from '../../../src/channel/frontend.js'
import { rootInode } from '../../../src/fs/records.js'
import type { Member } from '../../channel/support/cluster.js'
import { check } from './violation.js'

const name = 'whole-listing'
const caller = { uid: 0, gid: 0, pid: 1 }

/**
 * Whoever lists the root of a mount is told all that there is, or an error; never less: a copy of it with deletion
 * (`rsync --delete`) would take what is not shown from its target. `everywhere`: a name that is there for good. A member
 * that came to be after it, and one whose state was lost, is not there without it.
 */
export function checkWholeListing(member: Member, everywhere: string, isNewcomer: boolean): void {
  const { channel } = member
  const names = listRoot(member)
  if (names === undefined) return
  const who = `m${member.slot - 1}`
  check(name, !channel.stateMissing, () => `${who} has no state, and lists ${names.length} names`)
  check(name, !isNewcomer || names.includes(everywhere), () => {
    return `${who} lists ${names.length} names without ${everywhere}, which is there for good (applied up to ${channel.appliedIndex})`
  })
}

/** Undefined: a call failed. */
function listRoot({ channel }: Member): string[] | undefined {
  const options = {
    mount: 0,
    sync: 'fsync',
    timeoutMs: 1000,
    latest: false,
    channelLocks: false,
    noAccessTimes: true,
  } as const
  const unused = (): never => {
    throw new Error('a listing does not need it')
  }
  const frontend = new Frontend(channel, options, {
    now: () => 0n,
    nextInode: unused,
    openSpill: unused,
    delay: unused,
    statistics: unused,
    locks: new MemberLocks(),
  })
  const opened = answer<{ handle: number }>(reply => frontend.opendir(caller, rootInode, 0, reply))
  if (opened === undefined) return undefined
  const names: string[] = []
  const add = (item: { name: string }): boolean => names.push(item.name) > 0
  const listed = answer<true>(reply => {
    const told: Reply<void> = { ...reply, ok: () => reply.ok(true) }
    frontend.readdir(caller, rootInode, opened.handle, 0n, false, add, told)
  })
  return listed === undefined ? undefined : names.filter(each => each !== '.' && each !== '..')
}

function answer<T>(call: (reply: Reply<T>) => void): T | undefined {
  let value: T | undefined
  call({ ok: given => (value = given), fail: () => undefined, onInterrupt: () => undefined })
  return value
}
