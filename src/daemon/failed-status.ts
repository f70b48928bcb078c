import type { ChannelStatus, MountStatus } from './control-protocol.js'
import type { DeadMount } from './dead-mounts.js'
import type { WaitingMount } from './waiting-mounts.js'
import { parseMountOptions } from './mount-options.js'

/** A channel that is not open: something is wrong with it, or missing. */
export function failedStatus(name: string, reason: string, mounts?: AbsentMounts): ChannelStatus {
  return {
    name,
    id: '',
    role: 'member',
    state: 'failed',
    summary: 'this member does not serve it',
    redundancy: { complete: 0, copies: 0, mayFail: 0 },
    disk: null,
    problems: [reason],
    findings: [],
    leader: null,
    term: 0,
    lastIndex: 0,
    durableIndex: 0,
    commitIndex: 0,
    appliedIndex: 0,
    complete: false,
    fetching: null,
    quorum: { voters: 0, needed: 0, reachable: 0, ok: false },
    members: [],
    digest: { index: 0, hash: '' },
    pending: { operations: 0, bytes: 0 },
    missing: 0,
    conflicts: 0,
    healing: { wanted: 0, healed: 0 },
    locks: 0,
    bytes: { log: 0, data: 0, disk: 0, free: 0, writable: 0 },
    mounts: mounts === undefined ? [] : absentMountsStatus(name, mounts),
  }
}

/** What of a channel's mounts nobody serves. */
export interface AbsentMounts {
  deadOf(channel: string): readonly DeadMount[]
  waitingOf(channel: string): readonly WaitingMount[]
}

export function absentMountsStatus(channel: string, mounts: AbsentMounts): MountStatus[] {
  const dead = mounts.deadOf(channel).map(mount => absentMountStatus(mount, 'dead'))
  return [...dead, ...mounts.waitingOf(channel).map(mount => absentMountStatus(mount, 'waiting'))]
}

function absentMountStatus(
  { directory, options, problem }: DeadMount | WaitingMount,
  state: 'dead' | 'waiting',
): MountStatus {
  return {
    dir: directory,
    driver: parseMountOptions(options).driver,
    state,
    problem,
    limits: [],
    options: options.join(','),
    operations: 0,
    errors: 0,
    waiting: 0,
    openFiles: 0,
  }
}
