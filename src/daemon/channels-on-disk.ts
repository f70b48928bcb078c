import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RkfsError } from '../base/errors.js'
import { decodeDescriptor, type Descriptor } from '../channel/descriptor.js'

/** Where a home keeps its channels: a folder each, by name. */
export function channelsFolder(home: string): string {
  return join(home, 'channels')
}

export function channelFolder(home: string, channel: string): string {
  return join(channelsFolder(home), channel)
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
