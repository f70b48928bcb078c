import type { MemberId } from '../base/ids.js'
import type { Operation } from '../fs/operation.js'
import type { TableView } from '../fs/table-view.js'
import type { Proposal } from '../oplog/entry.js'
import type { Core } from './core.js'
import type { JournalRecord } from './log-port.js'
import { changeOfJournal } from './open-write.js'
import type { PendingChange } from './pending-changes.js'
import type { ChannelPorts } from './ports.js'

/** The number of this run's session, on stable storage with all that the log held: higher than all that were used before. */
export function openSession(ports: ChannelPorts, table: TableView, self: MemberId): number {
  const { log } = ports
  // a member that was rebuilt under its old identity must not meet numbers that it used before: the clock and the
  // replicated record keep it ahead of them
  const used = Math.max(Number(log.setting('session') ?? '0'), table.get('session', 0, self)?.session ?? 0)
  const session = Math.max(used + 1, Number(ports.now() / 1_000_000_000n))
  log.setSetting('session', String(session))
  log.commit()
  log.syncNow()
  return session
}

/** After a start: what the journal and the uncommitted log hold of this member's own changes is on its way again. */
export function recoverPending({ self, ports, log, views, pending }: Core): void {
  const found: PendingChange[] = []
  const inLog = new Set<string>()
  for (let index = views.applied.index + 1; index <= log.lastIndex; index++) {
    const { entry, operation, payload } = log.entry(index)
    if (entry.origin !== self || entry.kind === 'noop') continue
    inLog.add(`${entry.session}/${entry.sequence}`)
    found.push(pendingAgain({ ...entry, payload }, operation, index))
  }
  const done = views.table.get('session', 0, self)
  for (const records of changesOf(ports.log.journal())) {
    const { session, sequence } = records[0]!
    const applied =
      done !== undefined && (session < done.session || (session === done.session && sequence <= done.sequence))
    if (applied || inLog.has(`${session}/${sequence}`)) {
      log.unjournal(session, sequence)
      continue
    }
    const { proposal, operation } = changeOfJournal(records, ports.hasher)
    found.push(pendingAgain(proposal, operation, undefined))
  }
  found.sort((a, b) => a.proposal.session - b.proposal.session || a.proposal.sequence - b.proposal.sequence)
  for (const change of found) pending.add(change)
}

/** The journal's records by change. */
function changesOf(journal: readonly JournalRecord[]): Iterable<JournalRecord[]> {
  const changes = new Map<string, JournalRecord[]>()
  for (const record of journal) {
    const key = `${record.session}/${record.sequence}`
    const parts = changes.get(key)
    if (parts === undefined) changes.set(key, [record])
    else parts.push(record)
  }
  return changes.values()
}

/** `ordered`: its place in the log; else it is the journal's. */
function pendingAgain(proposal: Proposal, operation: Operation, ordered: number | undefined): PendingChange {
  return {
    proposal,
    operation,
    bytes: proposal.operation.length + proposal.payload.length,
    mount: undefined,
    visible: true,
    journalled: ordered === undefined,
    ordered,
    sentRound: 0,
    deadline: undefined,
    shownOffset: undefined,
    accepted: undefined,
    lost: undefined,
  }
}
