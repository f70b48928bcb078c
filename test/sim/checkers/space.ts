import { ENOSPC } from '../../../src/base/errno.js'
import { KiB } from '../../../src/base/limits.js'
import type { Member } from '../../channel/support/cluster.js'
import { check } from './violation.js'

const name = 'space'
/** With less than this no change can be kept, not even in a transaction. */
const leastBytes = 64 * KiB
/** Entries that came since the log was looked at. */
const slackBytes = 64 * KiB

/** Whether a member's disk takes what frees space. */
export function hasLeast({ log, disk }: Member): boolean {
  return !log.full && disk.space.free >= leastBytes
}

/** What frees space is never refused for want of it. `could`: its disk had the least that it takes when it was called. */
export function checkFreeing(member: Member, what: string, errno: number, could: boolean): void {
  const isRight = errno !== ENOSPC || !could || !hasLeast(member)
  check(name, isRight, () => `m${member.slot - 1} has ${member.disk.space.free} bytes free: no space for ${what}`)
}

/** What a member keeps of the log when nobody lacks anything, and what its files have beyond that, is at most `keepBytes`. */
export function keepsLittle({ log }: Member, keepBytes: number): boolean {
  return log.bytes.log + log.bytes.dead <= keepBytes + slackBytes
}
