import { writeSync } from 'node:fs'

/** Names, in the environment of a node that a command starts in the background, the descriptor by which the command listens. */
const variable = 'RKFS_STARTER_FD'
/** The first one after the standard ones. */
export const starterDescriptor = 3

export const starterEnvironment = { [variable]: String(starterDescriptor) }

/** Tells the command that started this process why it ends: its log may lie on a disk without a free byte. */
export function tellStarter(message: string): void {
  if (process.env[variable] === undefined) return
  try {
    writeSync(Number(process.env[variable]), message)
  } catch {
    // it has gone, and reads nothing any more
  }
}
