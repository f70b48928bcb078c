import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RkfsError } from '../base/errors.js'
import { isChannelName } from '../base/ids.js'
import { decodeDescriptor, type Descriptor } from '../channel/descriptor.js'

/** Where a home keeps its channels: a folder each, by name. */
export function channelsFolder(home: string): string {
  return join(home, 'channels')
}

export function channelFolder(home: string, channel: string): string {
  return join(channelsFolder(home), channel)
}

/** The names of the channels that this home has a part in. */
export function channelNames(home: string): string[] {
  const folder = channelsFolder(home)
  if (!existsSync(folder)) return []
  return readdirSync(folder).filter(name => isChannelName(name) && existsSync(join(folder, name, 'descriptor.json')))
}

/** What is known of a channel apart from its state: from its creation or the invitation. */
export function readDescriptor(folder: string): Descriptor {
  const path = join(folder, 'descriptor.json')
  try {
    return decodeDescriptor(readFileSync(path))
  } catch (cause) {
    throw new RkfsError('corrupt', `${path} is damaged: move the folder away and join the channel anew`, { cause })
  }
}

export function isClosed(folder: string): boolean {
  return existsSync(join(folder, 'closed'))
}

export interface ChannelOnDisk {
  readonly name: string
  readonly id: string
  readonly role: 'owner' | 'member'
  readonly state: 'closed' | 'stopped' | 'failed'
  readonly members: number
  readonly mounts: readonly []
}

/** The channels of a home whose node does not run; `node` is its id, if that is known. */
export function channelsOnDisk(home: string, node: string | undefined): ChannelOnDisk[] {
  return channelNames(home).map(name => {
    const folder = channelFolder(home, name)
    const state = isClosed(folder) ? ('closed' as const) : ('stopped' as const)
    try {
      const { id, owner, members } = readDescriptor(folder)
      return { name, id, role: owner === node ? 'owner' : 'member', state, members: members.length, mounts: [] }
    } catch {
      return { name, id: '', role: 'member', state: 'failed', members: 0, mounts: [] }
    }
  })
}
