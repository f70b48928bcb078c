import { lostNodeKey, strangeCertificate } from '../adapters/pki/lost-keys.js'
import { messageOf } from '../base/errors.js'
import { channelNames, incompleteness, lackOfAuthority, tracesOf } from './channel-traces.js'
import { channelFolder, isClosed, readDescriptor } from './channels-on-disk.js'

/** A channel of a home whose node does not run. */
export interface ChannelOnDisk {
  readonly name: string
  readonly id: string
  readonly role: 'owner' | 'member'
  readonly state: 'closed' | 'stopped' | 'failed'
  /** Why it is `failed`, or what else is missing. */
  readonly problem: string | null
  readonly members: number
  readonly mounts: readonly []
}

/** The channels of a home whose node does not run; `node` is its id, if that is known. */
export function channelsOnDisk(home: string, node: string | undefined): ChannelOnDisk[] {
  const lostKey = lostNodeKey(home)
  return channelNames(home).map(name => {
    const traces = tracesOf(home, name)
    const failed = (problem: string): ChannelOnDisk => {
      const role = traces.hasAuthority ? 'owner' : 'member'
      return { name, id: '', role, state: 'failed', problem, members: 0, mounts: [] }
    }
    const missing = incompleteness(home, traces)
    if (missing !== undefined) return failed(missing)
    const lost = lostKey ?? strangeCertificate(home, name)
    if (lost !== undefined) return failed(`${lost.found}: ${lost.remedy}`)
    const folder = channelFolder(home, name)
    try {
      const { id, owner, members } = readDescriptor(folder)
      const role = owner === node ? ('owner' as const) : ('member' as const)
      const state = isClosed(folder) ? ('closed' as const) : ('stopped' as const)
      const problem = role === 'owner' ? (lackOfAuthority(home, name) ?? null) : null
      return { name, id, role, state, problem, members: members.length, mounts: [] }
    } catch (error) {
      return failed(messageOf(error))
    }
  })
}
