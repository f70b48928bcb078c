import type { Command } from 'commander'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { writeFileAtomic } from '../../adapters/host/atomic-file.js'
import { lockHolder } from '../../adapters/host/lock-holder.js'
import { RkfsError } from '../../base/errors.js'
import { inspectHome, openHome } from '../../daemon/home.js'
import { homeOf } from '../context.js'
import { mainPath, nodeAnswers } from '../node-process.js'
import { hint, say } from '../output.js'
import { givenTo, passingSettings, type GivenSettings, type PassingSetting } from '../running-settings.js'
import { helperText, homeOfUnit, unitText, type ServiceScope } from '../service-unit.js'
import { readError, systemError } from '../../base/system-error.js'

export const helperPath = '/sbin/mount.rkfs'
const systemUnits = '/etc/systemd/system'
/** Where systemd looks for the system's units: what `show` printed may have been put into another one of them. */
const unitFolders = [systemUnits, '/run/systemd/system', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system']
const managerSeconds = 60

export function addService(program: Command): void {
  const service = program
    .command('service')
    .description('have this home’s node started by systemd, at boot: install or uninstall its unit, or show it')
  const scopes = (command: Command): Command =>
    command
      .option('--system', 'for the whole machine, from its boot on; needs root (default for root)')
      .option('--user', 'for your user’s own systemd (default without root)')
      .option('--name <name>', 'the unit’s name, for a second node on this machine', 'rkfs')
  scopes(service.command('install'))
    .description('write a systemd unit (and, with --system, /sbin/mount.rkfs), and enable it')
    .addHelpText(
      'after',
      `
The home must be there. The unit names it, and no other setting: those of the environment and of flags belong into
config.toml, and \`install\` warns of what the node would lose.

The unit is of Type=notify: it counts as started when the channels are open and the remembered mounts are there.
/sbin/mount.rkfs is what mount(8) and /etc/fstab need for the type rkfs.

Examples:
  rkfs service install
  RKFS_HOME=/var/lib/rkfs rkfs service install --system --name rkfs-files`,
    )
    .action(install)
  scopes(service.command('uninstall'))
    .description('stop what `install` enabled, and remove what it wrote; the home, and what other units need, stay')
    .addHelpText('after', '\nExample:\n  rkfs service uninstall')
    .action(uninstall)
  scopes(service.command('show'))
    .description('print the unit that `install` writes')
    .addHelpText('after', '\nExample:\n  rkfs service show --system >rkfs.service')
    .action(show)
}

interface Options {
  system?: boolean
  user?: boolean
  name: string
}

interface Unit {
  readonly scope: ServiceScope
  readonly name: string
  readonly path: string
}

function unitOf({ system, user, name }: Options): Unit {
  if (system === true && user === true) throw new RkfsError('usage', 'give --system or --user, not both')
  if (!/^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$/.test(name)) {
    throw new RkfsError(
      'usage',
      `${JSON.stringify(name)} is no name of a unit: use letters, digits, dots, hyphens and underscores`,
    )
  }
  const scope = system === true || (user !== true && process.geteuid?.() === 0) ? 'system' : 'user'
  const config = process.env['XDG_CONFIG_HOME']
  const own = join(config?.startsWith('/') ? config : join(process.env['HOME'] || homedir(), '.config'), 'systemd/user')
  return { scope, name, path: join(scope === 'system' ? systemUnits : own, `${name}.service`) }
}

/** This Node.js and this rkfs, by their paths: a manager's PATH is not the user's. */
function command(): string[] {
  return [process.execPath, ...process.execArgv, mainPath()]
}

function textOf(home: string, scope: ServiceScope): string {
  const owner = existsSync(home) ? statSync(home).uid : process.geteuid!()
  const user =
    scope === 'system' && owner !== 0 ? (owner === userInfo().uid ? userInfo().username : String(owner)) : undefined
  return unitText({ home, command: command(), scope, user })
}

function show(options: Options, command: Command): void {
  say(textOf(homeOf(command), unitOf(options).scope).trimEnd())
}

async function install(options: Options, command: Command): Promise<void> {
  const unit = unitOf(options)
  mustBeRoot(unit, 'install')
  const home = existingHome(homeOf(command))
  checkOther(unit, home)
  const passing = passingSettings(home, await given(home))
  write(unit.path, textOf(home, unit.scope), 0o644)
  say(`${unit.path} is written`)
  for (const words of passing.map(setting => passingWords(home, setting))) hint(words)
  if (unit.scope === 'system') installHelper()
  const words = manager(unit)
  if (!systemdRuns(unit)) {
    hint(
      `systemd does not run here: \`${words} daemon-reload\` and \`${words} enable --now ${unit.name}\` where it does`,
    )
    return
  }
  manage(unit, ['daemon-reload'])
  manage(unit, ['enable', unit.name])
  const start = `${words} start ${unit.name}`
  if (await nodeAnswers(home))
    hint(`a node runs on ${home} already, outside of systemd: \`rkfs stop\`, then \`${start}\``)
  else hint(`start it now with \`${start}\`; from the next boot on it starts by itself`)
  if (unit.scope === 'user')
    hint('without `loginctl enable-linger` it starts when you log in, and ends when you log out')
}

/** A unit for a home that is not there would start an empty node at boot: mostly the home meant is another one. */
function existingHome(home: string): string {
  if (inspectHome(home) !== undefined) return openHome(home)
  throw new RkfsError(
    'not-found',
    `the home ${home} does not exist, so there is no node to start: make it first (\`rkfs mount\` or \`rkfs join\`), or name ` +
      'the one that is meant with --home DIR (sudo changes the home, and does not pass RKFS_HOME on)',
  )
}

/** What the node that runs was started with; where none runs, what one would be started with here. */
async function given(home: string): Promise<GivenSettings> {
  const pid = lockHolder(home)
  if (pid !== undefined && (await nodeAnswers(home))) return givenTo(pid)
  return { environment: process.env, flags: {} }
}

/** The unit knows the home alone: what else a node was given would be lost without a word. */
function passingWords(home: string, { now, later }: PassingSetting): string {
  return (
    `rkfs: warning: ${now.key} is ${JSON.stringify(now.value)} now (${now.source}), and will be ${JSON.stringify(later.value)} ` +
    `(${later.source}) when systemd starts the node: to keep it, write ${now.key} = ${JSON.stringify(now.value)} into ${join(home, 'config.toml')}`
  )
}

function installHelper(): void {
  const there = readText(helperPath)
  if (there !== undefined && !there.includes('rkfs')) {
    hint(`${helperPath} is another program, and is left alone: fstab does not reach this rkfs`)
    return
  }
  write(helperPath, helperText(command()), 0o755)
  say(`${helperPath} is written, for mount -t rkfs and /etc/fstab`)
}

function uninstall(options: Options, command: Command): void {
  const unit = unitOf(options)
  mustBeRoot(unit, 'uninstall')
  const home = homeOf(command)
  if (readText(unit.path) === undefined)
    throw new RkfsError('not-found', `${unit.path} is not there: nothing is installed`)
  checkOther(unit, home)
  const runs = systemdRuns(unit)
  if (runs) manage(unit, ['disable', '--now', unit.name])
  rmSync(unit.path, { force: true })
  if (runs) manage(unit, ['daemon-reload'])
  say(`${unit.path} is removed`)
  if (unit.scope === 'system') removeHelper()
}

/** All nodes of this machine have one helper: it goes with the last unit. */
function removeHelper(): void {
  if (readText(helperPath)?.includes(mainPath()) !== true) return
  const others = unitsOfRkfs()
  if (others.length > 0) {
    say(`${helperPath} stays: ${others.join(', ')} ${others.length === 1 ? 'has' : 'have'} a node, too`)
    return
  }
  rmSync(helperPath, { force: true })
  say(`${helperPath} is removed`)
}

/** The paths of the system's units that run a node of rkfs, whatever its home. */
function unitsOfRkfs(): string[] {
  return unitFolders.flatMap(folder =>
    namesIn(folder)
      .filter(name => name.endsWith('.service'))
      .map(name => join(folder, name))
      .filter(path => isUnitOfRkfs(path)),
  )
}

function isUnitOfRkfs(path: string): boolean {
  try {
    return homeOfUnit(readFileSync(path, 'utf8')) !== undefined
  } catch {
    // a link that leads nowhere (a unit that is gone, or masked), or not a file
    return false
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function mustBeRoot({ scope }: Unit, what: string): void {
  if (scope !== 'system' || process.geteuid?.() === 0) return
  throw new RkfsError('usage', `\`rkfs service ${what} --system\` needs root: run it with sudo, or with --user`)
}

/** A unit of another home, or of somebody else, is not touched. */
function checkOther({ path }: Unit, home: string): void {
  const text = readText(path)
  if (text === undefined) return
  const other = homeOfUnit(text)
  if (other === home) return
  const whose = other === undefined ? 'was not written by rkfs' : `is of the node on ${other}`
  throw new RkfsError('exists', `${path} ${whose}: choose another name with --name`)
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new RkfsError('failed', `${path} cannot be read: ${readError(error)}`, { cause: error })
  }
}

function write(path: string, text: string, mode: number): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
    writeFileAtomic(path, text, mode)
    // whatever the umask
    chmodSync(path, mode)
  } catch (error) {
    throw new RkfsError('failed', `${path} cannot be written: ${systemError(error)}`, { cause: error })
  }
}

function manager({ scope }: Unit): string {
  return scope === 'user' ? 'systemctl --user' : 'systemctl'
}

/** sd_booted(3), and, for a user, whether its manager is there to be asked. */
function systemdRuns({ scope }: Unit): boolean {
  if (!existsSync('/run/systemd/system')) return false
  const runtime = process.env['XDG_RUNTIME_DIR']
  return scope === 'system' || (runtime !== undefined && existsSync(join(runtime, 'systemd')))
}

function manage(unit: Unit, words: string[]): void {
  const args = [...(unit.scope === 'user' ? ['--user'] : []), ...words]
  const { status, stderr, error } = spawnSync('systemctl', args, { encoding: 'utf8', timeout: managerSeconds * 1000 })
  if (status === 0) return
  const why = error === undefined ? stderr.trim() : systemError(error)
  throw new RkfsError('failed', `\`${manager(unit)} ${words.join(' ')}\` failed: ${why}`)
}
