import { join } from 'node:path'
import { SqliteLogStore } from '../../../src/adapters/sqlite/log-store.js'
import { SqliteStateStore } from '../../../src/adapters/sqlite/state-store.js'
import { toHex } from '../../../src/base/bytes.js'
import type { MemberId } from '../../../src/base/ids.js'
import { endlessDisk } from '../../../src/channel/disk-port.js'
import { Channel } from '../../../src/channel/channel.js'
import type { ChannelEvents, ChannelPorts } from '../../../src/channel/ports.js'
import type { PeerMessage } from '../../../src/channel/transport-port.js'
import { heldState } from '../../channel/support/sim-disk.js'
import { readDescriptor } from '../../../src/daemon/channel-folder.js'
import { nodeHasher } from '../../../src/adapters/host/hasher.js'
import { resumeInstall, snapshotPaths } from '../../../src/daemon/snapshot-transfer.js'
import { getInode } from '../../../src/fs/apply.js'
import { rootInode } from '../../../src/fs/records.js'
import { recordHash } from '../../../src/fs/table-view.js'
import { decodeEntry } from '../../../src/oplog/codec.js'
import { quiet } from '../../contracts/entries.js'
import { until } from '../../e2e/support/cluster.js'

/** Time runs faster than on a node. */
const tickMs = 4

/** One member's brain on the stores that were found after a power cut. */
class RecoveredMember {
  readonly id: MemberId
  readonly log: SqliteLogStore
  readonly state: SqliteStateStore
  readonly channel: Channel
  /** The end of the log as it was found. */
  readonly found: { readonly index: number; readonly hash: string }
  problem: string | undefined

  /** Throws what a node would refuse its channel for. */
  constructor(
    folder: string,
    name: string,
    seed: number,
    send: (from: MemberId, to: MemberId, m: PeerMessage) => boolean,
    isThere: (member: MemberId) => boolean,
  ) {
    const descriptor = readDescriptor(folder)
    this.id = descriptor.members.find(member => member.name === name)!.id
    const owner = { channelId: descriptor.id, member: this.id }
    const paths = snapshotPaths(folder)
    this.log = SqliteLogStore.open(paths.log, owner, nodeHasher, quiet)
    resumeInstall(paths, this.log)
    this.state = SqliteStateStore.open(paths.state, owner, nodeHasher, quiet)
    const { lastIndex, anchor } = this.log
    const last = lastIndex === anchor.index ? anchor.hash : decodeEntry(this.log.header(lastIndex)!, nodeHasher).hash
    this.found = { index: lastIndex, hash: toHex(last) }
    const ports: ChannelPorts = {
      log: this.log,
      state: this.state,
      disk: endlessDisk,
      memory: { load: () => undefined, save: () => {} },
      hasher: nodeHasher,
      transport: {
        send: (to, message) => send(this.id, to, message),
        connected: isThere,
        rttMs: () => undefined,
        windowBytes: () => Infinity,
        isThin: () => false,
      },
      now: () => BigInt(Date.now()) * 1_000_000n,
      monotonicMs: () => performance.now(),
      schedule: callback => void setImmediate(callback),
      delay: (ms, callback) => void setTimeout(callback, ms),
      report: (level, message, fields) => {
        if (level === 'error') this.problem ??= `${message} ${JSON.stringify(fields ?? {})}`
      },
    }
    const events: ChannelEvents = {
      roleChanged: () => {},
      descriptorChanged: () => {},
      snapshotNeeded: (_from, index) => (this.problem ??= `it needs a snapshot at ${index}`),
      entryAppended: () => {},
      copyState: () => {},
      marked: () => {},
      note: () => {},
      // what an earlier process was only told of may go with it; what was acknowledged is looked for in the files
      lostChanges: changes => {
        const lost = changes.find(({ cause }) => cause.kind !== 'earlier-run')
        if (lost !== undefined) this.problem ??= `${lost.operation.kind} is lost: ${lost.cause.kind}`
        return true
      },
      failed: () => {},
      quarantined: reason => (this.problem ??= reason),
    }
    this.channel = new Channel({ self: this.id, seed, mark: '0123456789abcdef', descriptor }, ports, events)
  }

  /** The content of a file in the root directory. */
  read(name: string): Buffer | undefined {
    const { table, blobs } = this.channel
    const ino = table.get('entry', rootInode, name)?.ino
    const inode = ino === undefined ? undefined : getInode(table, ino)
    return inode && Buffer.concat(blobs.read(table, ino!, 0, inode.size))
  }

  close(): void {
    this.channel?.stop()
    this.state?.close()
    this.log?.close()
  }
}

/** The members of a channel, started again on what a power cut left of their homes, in one process. */
export class RecoveredGroup {
  readonly members: RecoveredMember[] = []
  readonly #timer: NodeJS.Timeout

  /** `homes`: by the members’ names, of a majority at least. */
  constructor(homes: ReadonlyMap<string, string>, seed: number) {
    const send = (from: MemberId, to: MemberId, message: PeerMessage): boolean => {
      const receiver = this.members.find(member => member.id === to)
      if (receiver === undefined) return false
      setImmediate(() => receiver.channel.message(from, message))
      return true
    }
    const isThere = (id: MemberId): boolean => this.members.some(member => member.id === id)
    for (const [name, home] of homes) {
      const folder = join(home, 'channels', 'demo')
      this.members.push(new RecoveredMember(folder, name, seed + this.members.length, send, isThere))
    }
    this.#timer = setInterval(() => this.members.forEach(member => member.channel.tick()), tickMs)
  }

  /** Waits until there is a leader and all have applied its log. */
  async agree(): Promise<void> {
    const settled = (): boolean => {
      const leader = this.members.find(({ channel }) => channel.role === 'leader')?.channel
      return (
        this.members.some(member => member.problem !== undefined) ||
        (leader !== undefined &&
          leader.pending.operations === 0 &&
          this.members.every(
            ({ channel }) =>
              channel.leader === leader.self &&
              channel.pending.operations === 0 &&
              channel.appliedIndex === channel.lastIndex &&
              channel.lastIndex === leader.lastIndex &&
              channel.term === leader.term,
          ))
      )
    }
    await until('the members agree', settled, 15).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(this.members.map(({ channel }) => describe(channel)))}`)
    })
  }

  /** What is wrong with them, apart from what programs were promised. */
  broken(): string[] {
    const wrong = this.members.flatMap(({ problem }) => problem ?? [])
    const digests = new Set(this.members.map(({ channel }) => channel.digest().hash))
    if (digests.size > 1) wrong.push('the members differ')
    for (const { channel, state } of this.members) {
      const held = heldState(channel)
      const records = function* (): Generator<Uint8Array> {
        for (const { table, ino, key, value } of state.all()) yield recordHash(nodeHasher, table, ino, key, value)
      }
      if (!channel.checkDigest(records())) wrong.push('the state is not what its digest says')
      held.release()
    }
    return wrong
  }

  close(): void {
    clearInterval(this.#timer)
    for (const member of this.members) member.close()
  }
}

function describe({ role, term, lastIndex, commitIndex, appliedIndex, pending }: Channel): object {
  return { role, term, lastIndex, commitIndex, appliedIndex, pending: pending.operations }
}
