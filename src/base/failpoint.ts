/**
 * Named places at which a test may end the process or make it fail, as FreeBSD's fail(9) and etcd's gofail. Nothing
 * happens at them unless a handler is installed (`adapters/host/failpoints.ts`).
 *
 * What stands on stable storage is said of this member alone.
 */
export const failpoints = {
  // a leader's change
  'leader-elected': 'Became leader of a new term; its first entry is not appended.',
  'change-ordered': 'An entry has its place in the log in memory; it is neither sent nor written.',
  'messages-sent': 'What the turn has to say is sent; what it decided is not written.',
  'turn-persisted': 'The turn’s entries and journal are written; no sync covers them, and no program is answered.',
  'answers-given': 'Programs are answered whose changes are written; no sync was asked for.',
  'sync-covered': 'A sync has covered more of the log; it counts in no acknowledgement and no commit yet.',
  'commit-advanced': 'More is committed and durable here; nothing of it is applied.',
  'change-applied': 'An entry is applied in memory; its program is not answered.',
  // a follower's
  'entries-received': 'A leader’s entries are in the log in memory; they are not written.',
  'change-journalled': 'An own change is in the journal in memory; it is neither written nor forwarded.',
  'change-forwarded': 'An own change is sent to the leader; the turn’s journal is not written.',
  'copies-kept': 'What was given up is kept as copies, on stable storage; it is still in the journal.',
  'log-truncating': 'The leader’s entries contradict this log; nothing of it is cut off.',
  'log-truncated': 'The contradicting entries are cut off in memory; neither that nor the new ones are written.',
  // term and vote
  'hard-state-saving': 'Term and vote changed; nothing is written.',
  'hard-state-written': 'Term and vote are written; no sync covers them.',
  'hard-state-saved': 'Term and vote are on stable storage; no message that depends on them is sent.',
  'session-opening': 'A start has chosen its session number; it is not written.',
  'inodes-reserved': 'A block of inode numbers is on stable storage; none of them is used.',
  // log.db and its segments
  'segment-opened': 'The next segment’s file is there under its name; its folder is not synced.',
  'segment-written': 'Records are written to a segment; memory does not count them yet.',
  'segment-synced': 'A sync of the segments and the WAL ended; the mark does not tell.',
  'mark-written': 'The mark tells of the last sync; nobody was told.',
  'mark-lowered': 'The mark is back before a truncation, on stable storage; the truncation is not written.',
  'settle-open': 'Synced records are in an open transaction of log.db.',
  'settle-committed': 'The transaction is committed; no sync of the WAL covers it.',
  'segment-removing': 'A synced transaction refers to nothing in a segment; its file is still there.',
  'segment-removed': 'A segment’s file is gone, or kept as a spare; the folder is not synced.',
  'clean-open': 'A segment’s live blobs are copied to the stream’s end, in an open transaction.',
  'clean-committed': 'The transaction that moved them is committed; nothing is removed.',
  'compact-open': 'Entries and blobs are dropped in an open transaction.',
  'compact-committed': 'What no member needs is dropped, committed; no sync covers it.',
  // both databases
  'checkpoint-copying': 'The worker has copied a WAL once; what was written meanwhile is not copied.',
  'checkpoint-finishing': 'The worker has copied the bulk; the writer has not copied the rest.',
  'checkpoint-finished': 'All of a WAL is copied; the next transaction begins it anew.',
  'database-filled': 'A new database is complete under its draft’s name; it is not moved into place.',
  'database-created': 'A new database is in its place; the folder is not synced.',
  // state.db
  'state-flushing': 'Changed records are to be written out; no transaction is open.',
  'state-open': 'Records and the applied index are in an open transaction.',
  'state-committed': 'The transaction is committed; no sync covers it.',
  'state-synced': 'The state is on stable storage; what it stands for is still in the log.',
  // snapshots
  'snapshot-opened': 'The sender’s view of its state stands; nothing is sent.',
  'snapshot-sending': 'The sender has sent a part of the blobs.',
  'snapshot-receiving': 'The receiver has stored a blob of the snapshot beside its old state.',
  'snapshot-received': 'All of a snapshot is on stable storage beside the old state; no marker tells.',
  'snapshot-marked': 'The marker of an installation is on stable storage; nothing is replaced.',
  'snapshot-renaming': 'The old state is removed; the new one is not in its place.',
  'snapshot-renamed': 'The new state is in its place; the log still begins where it did.',
  'snapshot-log-moved': 'The log begins after the snapshot; that is not committed, and the marker is there.',
  'snapshot-installed': 'The marker is gone, on stable storage; the channel does not know yet.',
  // files, and the making of a channel
  'file-renaming': 'A small file’s new content is on stable storage under another name.',
  'file-renamed': 'The new content is in its place; the folder is not synced.',
  'channel-state-made': 'A new channel’s first state is on stable storage; it has no log.',
  'channel-built': 'A channel’s folder is complete under another name.',
  'channel-moved': 'The folder is in its place; the one above it is not synced.',
  'secret-redeemed': 'An invitation is spent, on stable storage; its member has no certificate.',
  'member-admitted': 'A newcomer is in the descriptor, committed; it was not told.',
  'member-enrolled': 'A newcomer has stored its certificate; it has no folder for the channel.',
  // the end
  'stop-unmounted': 'The mounts are gone; what this node changed last may not be committed.',
  'stop-drained': 'What this node changed is committed; leadership is not handed over.',
  'stop-flushed': 'A channel has written its state out; its stores are open.',
  'stop-state-closed': 'state.db is closed; the log is not.',
  'log-closing': 'The log has taken all over into log.db and is synced; its WAL is not copied.',
  'log-closed': 'The mark asks for no WAL any more; log.db-wal is there.',
} as const

export type Failpoint = keyof typeof failpoints

let handler: ((name: Failpoint) => void) | undefined

/** The process passes a failpoint. Throws what the handler throws. */
export function failpoint(name: Failpoint): void {
  if (handler !== undefined) handler(name)
}

/** What happens at failpoints from now on, in this thread. */
export function onFailpoint(passed: (name: Failpoint) => void): void {
  handler = passed
}
