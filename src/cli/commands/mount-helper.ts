import type { Command } from 'commander'
import { messageOf, RkfsError } from '../../base/errors.js'
import { parseMountOptions, splitMountOptions } from '../../daemon/mount-options.js'
import { hint } from '../output.js'
import { mountForHelper } from './mount.js'

/** Exit codes of mount(8). */
const codes = { usage: 1, mount: 32 }

/**
 * What mount(8) calls for the type rkfs, as /sbin/mount.rkfs: `SOURCE DIR [-sfnv] [-o OPTIONS] [-N NAMESPACE] [-t TYPE]`.
 * Hidden: people have `rkfs mount`.
 */
export function addMountHelper(program: Command): void {
  program
    .command('mount-helper', { hidden: true })
    .description('what mount(8) calls as /sbin/mount.rkfs')
    .argument('<source>', 'the channel, also as rkfs:CHANNEL')
    .argument('<dir>')
    .option('-o <options>', 'mount options, and home=DIR, timeout of the node’s start')
    .option('-s', 'ignore options that are not known')
    .option('-f', 'do all but the mount itself')
    .option('-n', 'ignored')
    .option('-v', 'ignored')
    .option('-N <namespace>', 'refused')
    .option('-t <type>', 'ignored')
    .action(mountHelper)
}

interface Options {
  o?: string
  s?: boolean
  f?: boolean
  N?: string
}

async function mountHelper(source: string, directory: string, options: Options, command: Command): Promise<void> {
  try {
    if (options.N !== undefined) throw new RkfsError('usage', 'rkfs mounts in its node’s mount namespace: leave out -N')
    const { home, rest } = separate(splitMountOptions(options.o === undefined ? [] : [options.o]), options.s === true)
    parseMountOptions(rest)
    if (home !== undefined) command.parent!.setOptionValue('home', home)
    if (options.f === true) return
    await mountForHelper(source.replace(/^rkfs:/, ''), directory, rest, command)
  } catch (error) {
    if (!(error instanceof RkfsError)) throw error
    hint(`mount.rkfs: ${messageOf(error)}`)
    process.exitCode = error.code === 'usage' ? codes.usage : codes.mount
  }
}

/** `home=DIR` is ours. `sloppy` leaves out what is not known. */
function separate(options: readonly string[], sloppy: boolean): { home: string | undefined; rest: string[] } {
  const home = options.findLast(option => option.startsWith('home='))?.slice('home='.length)
  const rest = options.filter(option => !option.startsWith('home=') && (!sloppy || isKnown(option)))
  return { home, rest }
}

function isKnown(option: string): boolean {
  try {
    parseMountOptions([option])
    return true
  } catch {
    return false
  }
}
