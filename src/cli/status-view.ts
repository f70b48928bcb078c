import type { MemoryUse } from '../adapters/host/allocator.js'
import type { ChannelStatus, MemberStatus, StatusReport } from '../daemon/control-protocol.js'
import { progressWords } from '../daemon/progress-words.js'
import { bytes, counted, duration, printable, table } from './output.js'

/** The report on one screen, for people: how safe the files are, what is wrong, and then all the rest. */
export function formatStatus(report: StatusReport): string {
  const { node, channels } = report
  const lines = channels.flatMap(channel => [summaryLine(channel), ...warnings(channel)])
  if (channels.length + report.closed.length === 0) {
    lines.push('no channels: `rkfs channel create <channel>` makes one, `rkfs join` joins one')
  }
  if (lines.length > 0) lines.push('')
  lines.push(
    `node ${printable(node.name)} (${node.id})  rkfs ${node.version}  listens on ${node.listen}  up ${duration(node.uptimeSeconds)}  process ${node.pid}${memoryWords(node.memory)}`,
    `home ${printable(node.home)}`,
  )
  for (const channel of channels) lines.push('', ...formatChannel(channel))
  if (report.closed.length > 0) {
    lines.push('', `closed on this node: ${report.closed.join(', ')} (\`rkfs mount <channel> <dir>\` opens one again)`)
  }
  return lines.join('\n')
}

/** A node of another version does not say, and one that does not run has none. */
function memoryWords(memory: MemoryUse | null | undefined): string {
  if (memory === null || memory === undefined) return ''
  const { residentBytes, heapBytes, externalBytes } = memory
  return `  memory ${bytes(residentBytes)} (heap ${bytes(heapBytes)}, external ${bytes(externalBytes)})`
}

/** A node of another version may not say. */
function summaryLine(c: ChannelStatus): string {
  return `${c.name}: ${printable(c.summary ?? c.state)}`
}

function warnings(c: ChannelStatus): string[] {
  return c.problems.map(problem => `  ! ${printable(problem)}`)
}

function formatChannel(c: ChannelStatus): string[] {
  const leader = c.members.find(m => m.id === c.leader)
  const leaderWords = c.leader === null ? 'no leader' : `leader ${leader?.name ?? c.leader}`
  const lines = [`channel ${c.name} (${c.id}): ${c.state}, ${leaderWords}, term ${c.term}, this node is its ${c.role}`]
  if (c.state === 'failed' && c.members.length === 0) {
    // it is not open, and nothing else is known
    return [`channel ${c.name}: failed`, ...(c.mounts.length > 0 ? mountLines(c) : [])]
  }
  if (c.state === 'closed') return lines
  lines.push(
    `  quorum     ${c.state === 'failed' ? 'this node takes no part: see above' : quorumWords(c)}`,
    ...(isFetching(c) ? [`  files      ${progressWords(c.fetching!)}`] : []),
    `  safe       ${safeWords(c)}`,
    `  pending    ${pendingWords(c)}`,
    `  conflicts  ${c.conflicts === 0 ? 'none' : `${c.conflicts}: \`rkfs conflicts ${c.name}\` lists them`}`,
    ...healingLines(c),
    ...(c.locks > 0 ? [`  locks      ${counted(c.locks, 'range')} held by programs here`] : []),
    `  on disk    ${bytes(c.bytes.disk)}, of that ${bytes(c.bytes.data)} data${diskWords(c)}; ${bytes(c.bytes.writable)} can be written`,
    `  digest     ${c.digest.hash.slice(0, 16)} at ${c.digest.index}`,
    ...mountLines(c),
    ...table(memberHeader, c.members.map(memberRow)).map(line => `  ${line}`),
  )
  return lines
}

function diskWords({ disk }: ChannelStatus): string {
  // a node of another version may not say
  if (!disk) return ''
  const state = disk.state === 'ok' ? '' : ` (${disk.state.toUpperCase()})`
  return `, ${bytes(disk.freeBytes)} of ${bytes(disk.totalBytes)} free${state}`
}

const memberHeader = [
  'MEMBER',
  'NAME',
  'ROLE',
  'ADDRESS',
  'CONNECTION',
  'BEHIND',
  'RTT',
  'CERTIFICATE UNTIL',
  'PROBLEM',
]

function memberRow(m: MemberStatus): string[] {
  const connection = m.self ? 'this node' : m.connected ? 'connected' : 'NOT CONNECTED'
  const rtt = m.rttMs === null ? '' : `${m.rttMs < 10 ? m.rttMs.toFixed(1) : Math.round(m.rttMs)} ms`
  return [m.id, m.name, m.role, m.address, connection, behind(m), rtt, certificateWords(m.certExpires), m.problem ?? '']
}

function behind(m: MemberStatus): string {
  if (m.lagEntries === null) return '?'
  if (m.lagEntries === 0) return 'nothing'
  const size = m.lagBytes === null || m.lagBytes === 0 ? '' : `, ${bytes(m.lagBytes)}`
  return counted(m.lagEntries, 'entry', 'entries') + size
}

function certificateWords(expires: string | null): string {
  if (expires === null) return ''
  const day = expires.slice(0, 10)
  return new Date(expires).getTime() < Date.now() ? `${day} EXPIRED` : day
}

/** A node of another version may not say. */
function lacksFiles(c: ChannelStatus): boolean {
  return c.complete === false || isFetching(c)
}

function isFetching(c: ChannelStatus): boolean {
  return c.fetching !== undefined && c.fetching !== null
}

function quorumWords(c: ChannelStatus): string {
  const { voters, needed, reachable, ok } = c.quorum
  const count = `${reachable} of ${counted(voters, 'voter')} reachable, ${needed} needed`
  if (ok) return `ok: ${count}`
  if (reachable >= needed) return `no leader at the moment: ${count}`
  return `NO QUORUM: ${count}; ${isFetching(c) ? 'the files cannot come before' : 'reads go on, changes wait and then fail'}`
}

function safeWords(c: ChannelStatus): string {
  if (c.state === 'quarantined' || c.state === 'failed') return 'not known here, see above'
  if (lacksFiles(c)) return 'not known here until the files are'
  const safe = `everything up to ${c.commitIndex} is on a majority`
  const newer = c.lastIndex - c.commitIndex
  const behind = c.appliedIndex < c.commitIndex ? `; applied here up to ${c.appliedIndex}` : ''
  return (newer > 0 ? `${safe}, ${counted(newer, 'newer entry is', 'newer entries are')} not yet` : safe) + behind
}

function healingLines({ healing }: ChannelStatus): string[] {
  // A node of another version may not say.
  if (healing === undefined || healing.wanted + healing.healed === 0) return []
  const wanted =
    healing.wanted === 0 ? '' : `${counted(healing.wanted, 'part')} of files damaged here, asked of the others; `
  const healed = `${counted(healing.healed, 'damaged part')} of files came from the others: look at this machine’s disk`
  return [`  healing    ${wanted}${healed}`]
}

function pendingWords(c: ChannelStatus): string {
  if (c.pending.operations === 0) return 'none'
  return `${counted(c.pending.operations, 'change')} of this node (${bytes(c.pending.bytes)}) not committed`
}

function mountLines(c: ChannelStatus): string[] {
  if (c.mounts.length === 0)
    return [`  mounts     none${isFetching(c) ? ' until the files are here' : `: \`rkfs mount ${c.name} <dir>\``}`]
  return c.mounts.flatMap((m, i) => {
    const errors = m.errors === 0 ? '' : `, ${counted(m.errors, 'error')}`
    const label = i === 0 ? 'mounts' : ''
    return [
      `  ${label.padEnd(9)}  ${printable(m.dir)} (${m.driver}, ${m.options}), ${mountWords(c, m)}${errors}`,
      // A node of another version may not say.
      ...(m.limits ?? []).map(
        (limit, i) => `  ${''.padEnd(9)}    ${i === 0 ? 'limits' : '      '}  ${printable(limit)}`,
      ),
    ]
  })
}

function mountWords(c: ChannelStatus, m: ChannelStatus['mounts'][number]): string {
  switch (m.state) {
    case 'dead': {
      const dir = printable(m.dir)
      return `DEAD: ${printable(m.problem ?? '')}; \`rkfs mount ${c.name} ${dir}\` takes its place, \`rkfs umount ${dir}\` clears it`
    }
    case 'waiting':
      return `NOT MOUNTED YET: ${printable(m.problem ?? '')}; it is tried again and again, \`rkfs umount ${printable(m.dir)}\` forgets it`
    case 'detached':
      return `no longer mounted there, but programs or another mount namespace (a container) still use it, ${counted(m.operations, 'operation')}`
    default:
      // A node of another version may not say.
      return counted(m.operations, 'operation')
  }
}
