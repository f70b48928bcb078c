import type { ChannelStatus, MountStatus } from './control-protocol.js'
import type { DeadMount } from './dead-mounts.js'
import { parseMountOptions } from './mount-options.js'

/** A channel that is not open: something is wrong with it, or missing. */
export function failedStatus(name: string, reason: string, dead: readonly DeadMount[]): ChannelStatus {
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
    conflicts: 0,
    healing: { wanted: 0, healed: 0 },
    locks: 0,
    bytes: { log: 0, data: 0 },
    mounts: dead.map(deadMountStatus),
  }
}

export function deadMountStatus({ directory, options, problem }: DeadMount): MountStatus {
  return {
    dir: directory,
    driver: parseMountOptions(options).driver,
    state: 'dead',
    problem,
    limits: [],
    options: options.join(','),
    operations: 0,
    errors: 0,
    waiting: 0,
    openFiles: 0,
  }
}
