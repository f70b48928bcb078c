import { Command } from 'commander'
import { packageVersion } from '../adapters/host/version.js'
import { RkfsError } from '../base/errors.js'
import { addChannel } from './commands/channel.js'
import { addConfig } from './commands/config.js'
import { addConflicts } from './commands/conflicts.js'
import { addDoctor } from './commands/doctor.js'
import { addJoin } from './commands/join.js'
import { addLog } from './commands/log.js'
import { addMember } from './commands/member.js'
import { addMount } from './commands/mount.js'
import { addMountHelper } from './commands/mount-helper.js'
import { addServe } from './commands/serve.js'
import { addService } from './commands/service.js'
import { addStatus } from './commands/status.js'
import { addStop } from './commands/stop.js'
import { addSync } from './commands/sync.js'
import { addUmount } from './commands/umount.js'
import { addVerify } from './commands/verify.js'

/** The command line as a whole. Its own errors are thrown as CommanderError, and nothing is printed for them. */
export function createProgram(): Command {
  const program = new Command('rkfs')
    .description('A shared file system for a group of machines.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .option('--home <dir>', 'the node’s home (default: $RKFS_HOME, or $XDG_DATA_HOME/rkfs)')
    .addHelpText(
      'after',
      `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no quorum, 4 not a member or refused.

A first try:      rkfs mount photos ~/photos
With others:      rkfs member invite photos      here, and  rkfs join  there, which asks for the token`,
    )
  const add = [
    addMount,
    addUmount,
    addServe,
    addStop,
    addService,
    addStatus,
    addChannel,
    addMember,
    addJoin,
    addSync,
    addVerify,
    addLog,
    addConflicts,
    addDoctor,
    addConfig,
    addMountHelper,
  ]
  for (const addCommand of add) addCommand(program)
  program.hook('preAction', (_, command) => refuseEmpty(command))
  prepare(program)
  return program
}

/** A variable of a script that is not set: as a directory it would be the one where the script runs. */
function refuseEmpty(command: Command): void {
  const empty = command.registeredArguments[command.args.indexOf('')]
  if (empty !== undefined) throw new RkfsError('usage', `the argument <${empty.name()}> is empty`)
}

/** Every command throws its errors instead of printing them and leaving. */
function prepare(command: Command): void {
  command.exitOverride().configureOutput({ outputError() {} })
  for (const child of command.commands) prepare(child)
}
