import type { Command } from 'commander'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { RkfsError } from '../../base/errors.js'
import { readError } from '../../base/system-error.js'
import { parseAddress } from '../../daemon/config.js'
import type { MemberDescription } from '../../daemon/control-protocol.js'
import { parseDuration, timeForms } from '../arguments.js'
import { agreeSeconds, ask, channelOf, homeOf, quickSeconds } from '../context.js'
import { hint, say, table } from '../output.js'
import { reachWarning } from '../reach-warning.js'

const CERTIFICATE_BYTES_MAX = 64 * 1024
const DAY = 86_400

export function addMember(program: Command): void {
  const member = program
    .command('member')
    .description(
      'the members of a channel: invite, add, remove and list them, fence one, take one for lost, say at which address one is',
    )
  member
    .command('invite')
    .description('print a token, on standard output alone, with which one machine can join')
    .argument('<channel>')
    .option('--expires <time>', `how long the token can be used, ${timeForms} (default: 24h)`, parseDuration)
    .addHelpText(
      'after',
      '\nExamples:\n  rkfs member invite demo\n  rkfs member invite demo --expires 1h | ssh beta rkfs join',
    )
    .action(invite)
  member
    .command('add')
    .description('admit a machine that has a certificate of its own, issued by the channel’s authority')
    .argument('<channel>')
    .argument('<certificate>', 'its certificate, a PEM file')
    .argument('<host:port>', 'where it listens')
    .option('--name <name>', 'its name for people (default: the certificate’s)')
    .addHelpText('after', '\nExample:\n  rkfs member add demo beta.pem beta.example.org:7400')
    .action(add)
  member
    .command('remove')
    .description('put a member out of the channel: its certificate is refused from then on')
    .argument('<channel>')
    .argument('<member>', 'its id or its name, or the beginning of either')
    .addHelpText('after', '\nExample:\n  rkfs member remove demo beta')
    .action(remove)
  member
    .command('fence')
    .description('end a member’s session: what it has on its way is refused, and never comes late')
    .argument('<channel>')
    .argument('<member>', 'its id or its name, or the beginning of either')
    .addHelpText(
      'after',
      `
Run it on any other member before a service of the fenced one is started there: when it says that it is done,
nothing that the service had written and not synced can take effect any more. Its data is kept as a copy on the
fenced member (rkfs conflicts). The member stays in the channel; new changes of it are taken as always.

Example:
  rkfs member fence demo alpha && systemctl start the-service`,
    )
    .action(fence)
  member
    .command('lost')
    .description('of two voters the other one is gone for good: go on without it')
    .argument('<channel>')
    .argument('<member>', 'its id or its name, or the beginning of either')
    .option('--yes', 'its machine or disk is gone for good')
    .addHelpText('after', lostHelp)
    .action(lost)
  member
    .command('address')
    .description('say where another member is now, on this machine, when no majority is there that could agree on it')
    .argument('<channel>')
    .argument('<member>', 'its id or its name, or the beginning of either')
    .argument('<host:port>', 'where it listens now')
    .addHelpText('after', addressHelp)
    .action(address)
  member
    .command('list')
    .description('list the members of a channel')
    .argument('<channel>')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExample:\n  rkfs member list demo')
    .action(list)
}

const addressHelp = `
A node that moves tells the others, as long as it reaches one of them. When all have new addresses at once nobody
reaches anybody: give each node its own new address first (listen and advertise in its config.toml, and restart it),
then say on each machine where the others are. It counts here alone, and is forgotten when the members, with a
majority there again, have agreed on the new address.

Example:
  rkfs member address demo beta beta.example.org:7400`

const lostHelp = `
A channel of two voters needs both. Run this on the one that is left, if the other one's machine or disk is gone
for good. Nothing that was acknowledged is lost: with two voters nothing is without this node. But never run it
on both: each would go on alone, and what one of them then orders is lost.

If the other one comes back after all, it is brought up to date and gets its vote again. A home that was put
back from an older copy needs none of this: start it, and it is brought up to date.

Example:
  rkfs member lost demo beta --yes`

async function invite(given: string, options: { expires?: number }, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const expires = options.expires ?? DAY
  if (expires < 1) throw new RkfsError('usage', 'a token must be valid for 1 s at least (--expires)')
  const args = { channel, expires }
  const { token, address } = await ask(home, 'member.invite', args, { timeoutSeconds: agreeSeconds })
  say(token)
  const warning = reachWarning(address)
  if (warning !== undefined) hint(warning)
  if (process.stderr.isTTY)
    hint(
      'on the new machine: `rkfs join`, and paste it when you are asked. It can be used once; whoever has it can join.',
    )
}

interface AddOptions {
  name?: string
}

async function add(given: string, file: string, address: string, options: AddOptions, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  if ((parseAddress(address)?.port ?? 0) === 0) {
    throw new RkfsError('usage', `${JSON.stringify(address)} is no address: give HOST:PORT, e.g. beta.example.org:7400`)
  }
  const certificatePem = readCertificateFile(file)
  const args = { channel, certificatePem, address, name: options.name }
  const { member } = await ask(home, 'member.add', args, { timeoutSeconds: agreeSeconds })
  say(`member ${member} is added to ${channel}`)
}

async function remove(given: string, member: string, _options: object, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const removed = await ask(home, 'member.remove', { channel, member }, { timeoutSeconds: agreeSeconds })
  say(`member ${removed.member} is removed from ${channel}`)
}

async function fence(given: string, member: string, _options: object, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const fenced = await ask(home, 'member.fence', { channel, member }, { timeoutSeconds: agreeSeconds })
  say(`the session of member ${fenced.member} in ${channel} is ended: what it had on its way is refused`)
}

async function lost(given: string, member: string, { yes }: { yes?: boolean }, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  if (yes !== true) throw new RkfsError('usage', `${lostHelp.split('\n\n')[0]!.trim()}\nAdd --yes if that is so`)
  const gone = await ask(home, 'member.lost', { channel, member }, { timeoutSeconds: agreeSeconds })
  say(`member ${gone.member} has no vote in ${channel} any more: this node decides alone`)
}

async function address(given: string, member: string, at: string, _options: object, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const args = { channel, member, address: at }
  const { name, self, agreed } = await ask(home, 'member.address', args, { timeoutSeconds: quickSeconds })
  if (self) {
    throw new RkfsError(
      'usage',
      `${name} is this node: its own address is \`listen\` (and \`advertise\`) in config.toml; then \`rkfs stop\`, and start it again`,
    )
  }
  say(`${name} is looked for at ${at} from now on`)
  if (!agreed) hint('say so on the other machines, too; `rkfs status` shows when all have agreed')
}

async function list(given: string, options: { json?: boolean }, command: Command): Promise<void> {
  const home = homeOf(command)
  const channel = await channelOf(home, given)
  const { members } = await ask(home, 'member.list', { channel }, { timeoutSeconds: quickSeconds })
  say(options.json ? JSON.stringify(members, null, 2) : table(memberHeader, memberRows(members)).join('\n'))
}

export const memberHeader = ['MEMBER', 'NAME', 'ROLE', 'ADDRESS', 'CERTIFICATE UNTIL']

export function memberRows(members: readonly MemberDescription[]): string[][] {
  return members.map(m => [m.id, m.name, m.role, m.address, m.certExpires?.slice(0, 10) ?? ''])
}

function readCertificateFile(path: string): string {
  let text: string
  try {
    text = readBounded(path, CERTIFICATE_BYTES_MAX + 1)
  } catch (error) {
    throw new RkfsError('usage', `the certificate ${path} cannot be read: ${readError(error)}`, { cause: error })
  }
  if (text.length > CERTIFICATE_BYTES_MAX || !text.includes('-----BEGIN CERTIFICATE-----')) {
    throw new RkfsError('usage', `${path} is no certificate in PEM form (-----BEGIN CERTIFICATE-----)`)
  }
  return text
}

/** The beginning of a file, or of a device or a pipe that never ends. */
function readBounded(path: string, bytesMax: number): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const buffer = Buffer.alloc(bytesMax)
    let length = 0
    for (let count = -1; count !== 0 && length < bytesMax; length += count) {
      count = readSync(file, buffer, length, bytesMax - length, null)
    }
    return buffer.toString('utf8', 0, length)
  } finally {
    closeSync(file)
  }
}
