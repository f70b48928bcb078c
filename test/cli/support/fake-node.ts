import { ControlServer, type ControlHandlers } from '../../../src/daemon/control-server.js'
import { controlSocketPath } from '../../../src/daemon/control-path.js'
import type { ChannelStatus, ControlVerb, StatusReport } from '../../../src/daemon/control-protocol.js'
import { silentLog } from '../../../src/daemon/log.js'
import { RkfsError } from '../../../src/base/errors.js'

export const channel: ChannelStatus = {
  name: 'demo',
  id: '00112233445566aa',
  role: 'owner',
  state: 'leader',
  summary: 'all 3 copies are complete; 1 machine may fail',
  redundancy: { complete: 3, copies: 3, mayFail: 1 },
  disk: { totalBytes: 2 ** 40, freeBytes: 2 ** 39, state: 'ok' },
  problems: [],
  findings: [],
  leader: 'aaaaaaaaaaaaaaaa',
  term: 3,
  lastIndex: 12,
  durableIndex: 12,
  commitIndex: 12,
  appliedIndex: 12,
  complete: true,
  fetching: null,
  quorum: { voters: 3, needed: 2, reachable: 3, ok: true },
  members: [
    {
      id: 'aaaaaaaaaaaaaaaa',
      name: 'alpha',
      role: 'voter',
      address: '127.0.0.1:7401',
      self: true,
      connected: true,
      matchIndex: 12,
      lagEntries: 0,
      lagBytes: 0,
      rttMs: null,
      certExpires: '2099-01-02T00:00:00.000Z',
      problem: null,
    },
    {
      id: 'bbbbbbbbbbbbbbbb',
      name: 'beta',
      role: 'voter',
      address: '127.0.0.1:7402',
      self: false,
      connected: true,
      matchIndex: 10,
      lagEntries: 2,
      lagBytes: 4096,
      rttMs: 1.25,
      certExpires: '2020-01-02T00:00:00.000Z',
      problem: 'slow\x1b[31m disk',
    },
  ],
  missing: 0,
  digest: { index: 12, hash: 'd'.repeat(64) },
  pending: { operations: 0, bytes: 0 },
  conflicts: 0,
  healing: { wanted: 0, healed: 0 },
  locks: 0,
  bytes: { log: 4096, data: 1048576, disk: 4096, free: 1_000_000, writable: 900_000 },
  mounts: [
    {
      dir: '/mnt/x',
      driver: 'kernel',
      state: 'mounted',
      problem: null,
      limits: [],
      options: 'rw,sync=close',
      operations: 5,
      errors: 0,
      waiting: 1,
      openFiles: 2,
    },
  ],
}

export function report(channels: readonly ChannelStatus[]): StatusReport {
  const node = { id: 'aaaaaaaaaaaaaaaa', version: '0.1.0', listen: '127.0.0.1:7401', home: '/h', name: 'alpha' }
  return {
    node: {
      ...node,
      pid: 1,
      uptimeSeconds: 61,
      memory: { residentBytes: 120 << 20, heapBytes: 30 << 20, externalBytes: 5 << 20 },
    },
    channels,
    closed: [],
  }
}

/** A control socket on which every verb that is not given fails with `not-found`; a channel's name is meant as it is. */
export async function fakeNode(home: string, handlers: Partial<ControlHandlers>): Promise<ControlServer> {
  const named: Partial<ControlHandlers> = {
    'channel.meant': ({ channel }) => Promise.resolve({ channel }),
    ...handlers,
  }
  const all = new Proxy(named, {
    get: (target, verb: ControlVerb) =>
      target[verb] ?? (() => Promise.reject(new RkfsError('not-found', `no ${verb} here`))),
  }) as ControlHandlers
  const server = new ControlServer(controlSocketPath(home), all, silentLog)
  await server.start()
  return server
}
