import type { Failpoint } from '../../../src/base/failpoint.js'

/** Where a failpoint is tried; each has a way to bring a node there (`places.ts`). */
export type Place =
  /** The only member, under load. */
  | 'solo'
  | 'solo-bulk'
  | 'solo-small'
  /** The only member, as it ends in order. */
  | 'stop'
  /** Of three members that all write. */
  | 'leader'
  | 'follower'
  /** A leader that was cut off, and comes back with entries that were never committed. */
  | 'deposed'
  | 'create'
  /** An owner that admits a member and sends it the channel; the member that is admitted. */
  | 'owner'
  | 'newcomer'

export interface Case {
  readonly place: Place
  /** The death is at one of the first so many passings. */
  readonly passings: number
}

const on = (place: Place, passings = 1): Case => ({ place, passings })

/** Every failpoint has its case: the type says so. */
export const cases: Readonly<Record<Failpoint, Case>> = {
  'leader-elected': on('solo'),
  'change-ordered': on('leader', 40),
  'messages-sent': on('leader', 60),
  'turn-persisted': on('leader', 60),
  'answers-given': on('leader', 60),
  'sync-covered': on('leader', 60),
  'commit-advanced': on('leader', 60),
  'change-applied': on('leader', 60),
  'entries-received': on('follower', 60),
  'change-journalled': on('follower', 20),
  'change-forwarded': on('follower', 20),
  'copies-kept': on('deposed'),
  'log-truncating': on('deposed'),
  'log-truncated': on('deposed'),
  'hard-state-saving': on('solo'),
  'hard-state-written': on('solo'),
  'hard-state-saved': on('solo'),
  'session-opening': on('solo'),
  'inodes-reserved': on('solo'),
  'segment-opened': on('solo-bulk', 2),
  'segment-written': on('solo', 100),
  'segment-synced': on('solo', 100),
  'mark-written': on('solo', 100),
  'mark-lowered': on('deposed'),
  'settle-open': on('solo', 3),
  'settle-committed': on('solo', 3),
  'segment-removing': on('solo-bulk', 2),
  'segment-removed': on('solo-bulk', 2),
  'clean-open': on('solo-bulk', 2),
  'clean-committed': on('solo-bulk', 2),
  'compact-open': on('solo-bulk', 3),
  'compact-committed': on('solo-bulk', 3),
  'checkpoint-copying': on('solo-small'),
  'checkpoint-finishing': on('solo-small'),
  'checkpoint-finished': on('solo-small'),
  'database-filled': on('create', 2),
  'database-created': on('create', 2),
  'state-flushing': on('solo', 4),
  'state-open': on('solo', 4),
  'state-committed': on('solo', 4),
  'state-synced': on('solo-bulk'),
  'snapshot-opened': on('owner'),
  'snapshot-sending': on('owner'),
  'snapshot-receiving': on('newcomer', 3),
  'snapshot-received': on('newcomer'),
  'snapshot-marked': on('newcomer'),
  'snapshot-renaming': on('newcomer'),
  'snapshot-renamed': on('newcomer'),
  'snapshot-log-moved': on('newcomer'),
  'snapshot-installed': on('newcomer'),
  'file-renaming': on('create', 2),
  'file-renamed': on('create', 2),
  'channel-state-made': on('create'),
  'channel-built': on('create'),
  'channel-moved': on('create'),
  'secret-redeemed': on('owner'),
  'member-admitted': on('owner'),
  'member-enrolled': on('newcomer'),
  'stop-unmounted': on('stop'),
  'stop-drained': on('stop'),
  'stop-flushed': on('stop'),
  'stop-state-closed': on('stop'),
  'log-closing': on('stop'),
  'log-closed': on('stop'),
}
