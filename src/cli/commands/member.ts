import type { Command } from 'commander'
import { readFileSync } from 'node:fs'
import { messageOf, RkfsError } from '../../base/errors.js'
import { parseAddress } from '../../daemon/config.js'
import type { MemberDescription } from '../../daemon/control-protocol.js'
import { checkChannelName, parseDuration, timeForms } from '../arguments.js'
import { agreeSeconds, ask, homeOf, quickSeconds } from '../context.js'
import { hint, say, table } from '../output.js'
import { reachWarning } from '../reach-warning.js'

const CERTIFICATE_BYTES_MAX = 64 * 1024
const DAY = 86_400

export function addMember(program: Command): void {
  const member = program.command('member').description('invite, add, remove, fence and list the members of a channel')
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
    .argument('<member>', 'its id, the first digits of it, or its name')
    .addHelpText('after', '\nExample:\n  rkfs member remove demo beta')
    .action(remove)
  member
    .command('fence')
    .description('end a member’s session: what it has on its way is refused, and never comes late')
    .argument('<channel>')
    .argument('<member>', 'its id, the first digits of it, or its name')
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
    .argument('<member>', 'its id, the first digits of it, or its name')
    .option('--yes', 'its machine or disk is gone for good')
    .addHelpText('after', lostHelp)
    .action(lost)
  member
    .command('list')
    .description('list the members of a channel')
    .argument('<channel>')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExample:\n  rkfs member list demo')
    .action(list)
}

const lostHelp = `
A channel of two voters needs both. Run this on the one that is left, if the other one's machine or disk is gone
for good. Nothing that was acknowledged is lost: with two voters nothing is without this node. But never run it
on both: each would go on alone, and what one of them then orders is lost.

If the other one comes back after all, it is brought up to date and gets its vote again. A home that was put
back from an older copy needs none of this: start it, and it is brought up to date.

Example:
  rkfs member lost demo beta --yes`

async function invite(channel: string, options: { expires?: number }, command: Command): Promise<void> {
  checkChannelName(channel)
  const expires = options.expires ?? DAY
  if (expires < 1) throw new RkfsError('usage', 'a token must be valid for 1 s at least (--expires)')
  const args = { channel, expires }
  const { token, address } = await ask(homeOf(command), 'member.invite', args, { timeoutSeconds: agreeSeconds })
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

async function add(
  channel: string,
  file: string,
  address: string,
  options: AddOptions,
  command: Command,
): Promise<void> {
  checkChannelName(channel)
  if ((parseAddress(address)?.port ?? 0) === 0) {
    throw new RkfsError('usage', `${JSON.stringify(address)} is no address: give HOST:PORT, e.g. beta.example.org:7400`)
  }
  const certificatePem = readCertificateFile(file)
  const args = { channel, certificatePem, address, name: options.name }
  const { member } = await ask(homeOf(command), 'member.add', args, { timeoutSeconds: agreeSeconds })
  say(`member ${member} is added to ${channel}`)
}

async function remove(channel: string, member: string, _options: object, command: Command): Promise<void> {
  checkChannelName(channel)
  const removed = await ask(homeOf(command), 'member.remove', { channel, member }, { timeoutSeconds: agreeSeconds })
  say(`member ${removed.member} is removed from ${channel}`)
}

async function fence(channel: string, member: string, _options: object, command: Command): Promise<void> {
  checkChannelName(channel)
  const fenced = await ask(homeOf(command), 'member.fence', { channel, member }, { timeoutSeconds: agreeSeconds })
  say(`the session of member ${fenced.member} in ${channel} is ended: what it had on its way is refused`)
}

async function lost(channel: string, member: string, { yes }: { yes?: boolean }, command: Command): Promise<void> {
  checkChannelName(channel)
  if (yes !== true) throw new RkfsError('usage', `${lostHelp.split('\n\n')[0]!.trim()}\nAdd --yes if that is so`)
  const gone = await ask(homeOf(command), 'member.lost', { channel, member }, { timeoutSeconds: agreeSeconds })
  say(`member ${gone.member} has no vote in ${channel} any more: this node decides alone`)
}

async function list(channel: string, options: { json?: boolean }, command: Command): Promise<void> {
  checkChannelName(channel)
  const { members } = await ask(homeOf(command), 'member.list', { channel }, { timeoutSeconds: quickSeconds })
  say(options.json ? JSON.stringify(members, null, 2) : table(memberHeader, memberRows(members)).join('\n'))
}

export const memberHeader = ['MEMBER', 'NAME', 'ROLE', 'ADDRESS', 'CERTIFICATE UNTIL']

export function memberRows(members: readonly MemberDescription[]): string[][] {
  return members.map(m => [m.id, m.name, m.role, m.address, m.certExpires?.slice(0, 10) ?? ''])
}

function readCertificateFile(path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new RkfsError('usage', `the certificate ${path} cannot be read: ${messageOf(error)}`, { cause: error })
  }
  if (text.length > CERTIFICATE_BYTES_MAX || !text.includes('-----BEGIN CERTIFICATE-----')) {
    throw new RkfsError('usage', `${path} is no certificate in PEM form (-----BEGIN CERTIFICATE-----)`)
  }
  return text
}
