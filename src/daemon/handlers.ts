import { setTimeout as sleep } from 'node:timers/promises'
import { memoryUse } from '../adapters/host/allocator.js'
import { packageVersion } from '../adapters/host/version.js'
import { toHex } from '../base/bytes.js'
import { RkfsError } from '../base/errors.js'
import { describeOperation } from '../fs/operation.js'
import { X509Certificate } from 'node:crypto'
import type { ChannelHost } from './channel-host.js'
import type { ControlVerbs, LogItem, Progress, StatusReport } from './control-protocol.js'
import type { ControlContext, ControlHandlers } from './control-server.js'
import type { Node } from './node.js'
import { failedStatus } from './failed-status.js'
import { checkRestorable, restoreConflict } from './restoring.js'
import { quorumOf } from './reach.js'
import { channelStatus, describeMember } from './status.js'

const pollMs = 50

/** What the control socket answers: each verb in a few lines over the node. */
export function controlHandlers(node: Node, stop: (force: boolean) => Promise<void>): ControlHandlers {
  return {
    ping: async () => ({ version: packageVersion(), pid: process.pid }),
    status: async ({ channel }) => statusReport(node, channel),
    'channel.meant': async ({ channel }) => ({ channel: node.channelMeant(channel) }),
    'channel.create': async ({ channel }) => {
      const host = await node.createChannel(channel)
      return { channel, id: host.identity.channelId, address: node.advertised }
    },
    'channel.list': async () => ({ channels: node.summaries() }),
    'channel.show': async ({ channel }) => {
      const host = node.host(channel)
      const { descriptor } = host.channel
      return {
        name: channel,
        id: descriptor.id,
        owner: descriptor.owner,
        folder: host.folder,
        authorityFingerprint: new X509Certificate(host.identity.caPem).fingerprint256,
        descriptorVersion: descriptor.version,
        members: descriptor.members.map(describeMember),
      }
    },
    'channel.close': async ({ channel, force }) => {
      await node.closeChannel(channel, force)
      return {}
    },
    'channel.delete': async ({ channel, dryRun }) => ({
      removed: dryRun ? node.removals(channel) : await node.deleteChannel(channel),
    }),
    'member.invite': ({ channel, expires }) => node.invite(channel, expires),
    'member.add': async ({ channel, certificatePem, address, name }) => ({
      member: await node.addMember(channel, certificatePem, address, name),
    }),
    'member.remove': async ({ channel, member }) => ({ member: await node.removeMember(channel, member) }),
    'member.lost': async ({ channel, member }) => ({ member: await node.giveUpVoter(channel, member) }),
    'member.fence': async ({ channel, member }) => ({ member: await node.fenceMember(channel, member) }),
    'member.address': ({ channel, member, address }) => node.setMemberAddress(channel, member, address),
    'member.list': async ({ channel }) => ({
      members: node.host(channel).channel.descriptor.members.map(describeMember),
    }),
    join: async ({ token }, context) => {
      const joined = await node.join(token, p => context.progress(p), context.signal)
      const voters = node.votersOf(joined.channel)
      return { ...joined, voters }
    },
    mount: async (args, context) => {
      const { channel, create } = args
      const created = create && node.mayCreate(channel)
      if (created) await node.createChannel(channel)
      try {
        return { ...(await mount(node, args, context)), created }
      } catch (error) {
        if (created) await node.unmake(channel)
        throw error
      }
    },
    umount: async ({ directory, force, timeout }, context) => {
      const host = node.mounts.all.find(mount => mount.directory === directory)?.host
      const watch = host === undefined || force ? undefined : watchPending(host, context)
      try {
        await node.mounts.unmount(directory, force, timeout)
      } finally {
        watch?.()
      }
      return { directory }
    },
    sync: ({ channel, all, timeout }, context) => sync(node.host(channel), all, timeout, context),
    verify: ({ channel, deep }, context) =>
      node.host(channel).verification.verify(deep, p => context.progress(p), context.signal),
    log: async ({ channel, follow, from, limit }, context) => {
      await sendLog(node.host(channel), follow, from, limit, context)
      return {}
    },
    conflicts: async ({ channel }) => ({ conflicts: node.host(channel).conflicts.list() }),
    'conflicts.restore': async ({ channel, ids }) => ({ restored: await restore(node.host(channel), ids) }),
    'conflicts.discard': async ({ channel, ids }) => {
      const { conflicts } = node.host(channel)
      const chosen = conflicts.chosen(ids)
      conflicts.remove(chosen)
      return { discarded: chosen.length }
    },
    stop: async ({ force }) => {
      // the answer goes out before the socket closes
      setTimeout(() => void stop(force), 20)
      return {}
    },
  }
}

async function mount(
  node: Node,
  { channel, directory, options, wait, temporary }: ControlVerbs['mount']['args'],
  { progress, signal }: ControlContext,
): Promise<Omit<ControlVerbs['mount']['result'], 'created'>> {
  const host = await node.reopen(channel)
  const before = node.mounts.all
  const patience = { seconds: wait ?? 0, progress: (p: Progress) => progress(p), signal }
  const made = await node.mounts.mount(host, directory, options, node.config.timeoutSeconds, patience, temporary)
  await host.settledEarlierRuns()
  const already = before.includes(made)
  return { directory: made.directory, driver: made.driver, already, conflicts: host.keptOfEarlierRuns }
}

function statusReport(node: Node, channel: string | undefined): StatusReport {
  const broken = [...node.broken].filter(([name]) => channel === undefined || name === channel)
  const hosts = channel === undefined ? node.hosts : broken.length > 0 ? [] : [node.host(channel)]
  return {
    node: {
      id: node.id,
      version: packageVersion(),
      listen: node.listen,
      home: node.home,
      name: node.config.name,
      pid: process.pid,
      uptimeSeconds: Math.floor((performance.now() - node.startedAt) / 1000),
      memory: memoryUse(),
    },
    closed: channel === undefined ? node.closed : [],
    channels: [
      ...hosts.map(host => channelStatus(host, node.mounts)),
      ...broken.map(([name, reason]) => failedStatus(name, reason, node.mounts)),
    ],
  }
}

/** Each is forgotten when a majority has what was written of it. */
async function restore(host: ChannelHost, ids: readonly number[]): Promise<{ id: number; path: string }[]> {
  const restored: { id: number; path: string }[] = []
  const chosen = host.conflicts.chosen(ids).filter(({ ranges }) => ids.length > 0 || ranges.length > 0)
  // all that are named, or none
  for (const conflict of chosen) checkRestorable(conflict)
  for (const conflict of chosen) {
    restored.push({ id: conflict.id, path: await restoreConflict(host, conflict) })
    host.conflicts.remove([conflict])
  }
  return restored
}

/** Shows what is still on its way, until it is told to end. */
function watchPending(host: ChannelHost, context: ControlContext): () => void {
  const first = host.channel.pending.bytes
  const timer = setInterval(() => {
    const { bytes } = host.channel.pending
    context.progress({ what: 'waiting for a majority', done: Math.max(0, first - bytes), total: first, unit: 'bytes' })
  }, 200)
  return () => clearInterval(timer)
}

/** Where members contradict each other, what a majority holds is not to be known here. */
function assertAgreed({ channel, name }: ChannelHost): void {
  const why = channel.quarantine ?? channel.contradiction
  if (why !== undefined) throw new RkfsError('failed', `what of ${name} is safe is not known here: ${why}`)
}

/** Waits until this member's changes are committed, and with `all` applied by every member. `timeout` 0: no limit. */
async function sync(
  host: ChannelHost,
  all: boolean,
  timeout: number,
  context: ControlContext,
): Promise<{ index: number }> {
  const { channel } = host
  const limitMs = timeout === 0 ? 2 ** 40 : timeout * 1000
  const end = performance.now() + limitMs
  assertAgreed(host)
  // before, it knows of no entry, and what it could say is that everything up to 0 is safe
  await host.usable(limitMs, progress => context.progress(progress), context.signal)
  const stopWatching = watchPending(host, context)
  try {
    await host.drained(Math.max(0, end - performance.now()))
  } catch (error) {
    const { reachable, needed } = quorumOf(host)
    if (reachable >= needed && timeout !== 0) {
      throw new RkfsError(
        'timeout',
        `not all changes are on a majority after ${timeout} s: ${channel.pending.operations} are left`,
        { cause: error },
      )
    }
    throw error
  } finally {
    stopWatching()
  }
  assertAgreed(host)
  const index = channel.commitIndex
  if (!all) return { index }
  for (;;) {
    const behind = channel.descriptor.members.filter(member => {
      const applied =
        member.id === host.identity.memberId ? channel.appliedIndex : channel.position(member.id)?.appliedIndex
      return applied === undefined || applied < index
    })
    if (behind.length === 0) return { index }
    if (performance.now() > end) {
      throw new RkfsError(
        'timeout',
        `after ${timeout} s these members do not have entry ${index} yet: ${behind.map(m => m.name).join(', ')}`,
      )
    }
    context.signal.throwIfAborted()
    context.progress({
      what: `waiting for ${behind.map(m => m.name).join(', ')}`,
      done: channel.descriptor.members.length - behind.length,
      total: channel.descriptor.members.length,
      unit: 'members',
    })
    await sleep(pollMs)
  }
}

async function sendLog(
  host: ChannelHost,
  follow: boolean,
  from: number | undefined,
  limit: number,
  context: ControlContext,
): Promise<void> {
  const { channel } = host
  let next = from ?? Math.max(channel.firstIndex, channel.lastIndex - limit + 1)
  if (from !== undefined && from < channel.firstIndex) {
    throw new RkfsError(
      'not-found',
      `the log of ${host.name} begins at entry ${channel.firstIndex}: older ones are merged into the state`,
    )
  }
  let left = from === undefined || limit > 0 ? limit : Infinity
  const nameOf = (id: string): string => channel.descriptor.members.find(m => m.id === id)?.name ?? id
  while (!context.signal.aborted) {
    const entry = next > channel.lastIndex ? undefined : channel.describe(next)
    if (entry === undefined || (!follow && left <= 0)) {
      if (!follow) return
      next = Math.max(next, channel.firstIndex)
      await sleep(100)
      continue
    }
    const { entry: header, operation } = entry
    const item: LogItem = {
      index: header.index,
      term: header.term,
      time: new Date(Number(header.time / 1_000_000n)).toISOString(),
      origin: nameOf(header.origin),
      kind: header.kind,
      operation:
        header.kind === 'noop' && operation.kind === 'mark' ? 'a new leader begins' : describeOperation(operation),
      bytes: header.payloadLength,
      hash: toHex(header.hash),
      committed: header.index <= channel.commitIndex,
    }
    await context.item(item)
    next++
    left--
  }
}
