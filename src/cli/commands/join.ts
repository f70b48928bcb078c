import type { Command } from 'commander'
import { decodeToken } from '../../adapters/pki/token.js'
import { begin, hasAny, tracesOf } from '../../daemon/channel-traces.js'
import { openHome } from '../../daemon/home.js'
import { parseDuration, timeForms } from '../arguments.js'
import { ask, homeOf } from '../context.js'
import { ensureNode } from '../node-process.js'
import { hint, say } from '../output.js'
import { tokenFrom } from '../token-source.js'

const LIMIT_SECONDS = 600

export function addJoin(program: Command): void {
  program
    .command('join')
    .description(
      'become a member of a channel, with a token from `rkfs member invite`; on a member, renew its certificate',
    )
    .argument('[token]', 'the whole line that `rkfs member invite` printed; without it, it is read from standard input')
    .option('--token-file <file>', 'read the token from this file')
    .option('--listen <host:port>', 'where this node listens for other members, if it is started by this command')
    .option('--timeout <time>', `how long it may take, ${timeForms} (default: 10m)`, parseDuration)
    .addHelpText(
      'after',
      '\nExamples:\n  rkfs join                                  asks for the token; it is not shown\n' +
        '  rkfs join --listen 192.0.2.7:7400 <token\n' +
        '  rkfs join --token-file /root/token\n' +
        '\nA token that is given as an argument stands in the shell’s history and, for a moment, in the process list.',
    )
    .action(join)
}

interface Options {
  tokenFile?: string
  listen?: string
  timeout?: number
}

/** Whatever comes of it: `mount` must not make a channel of the name that somebody wanted to join. */
function noteAttempt(home: string, token: string): void {
  const { channel } = decodeToken(token, 0)
  const path = openHome(home)
  if (hasAny(tracesOf(path, channel))) return
  begin(path, channel, 'joining')
}

async function join(argument: string | undefined, options: Options, command: Command): Promise<void> {
  const timeoutSeconds = options.timeout ?? LIMIT_SECONDS
  const token = await tokenFrom({ argument, file: options.tokenFile }, timeoutSeconds * 1000)
  const home = homeOf(command)
  noteAttempt(home, token)
  // A damaged token is told before a node is started for it.
  decodeToken(token, Math.floor(Date.now() / 1000))
  await ensureNode(home, { listen: options.listen })
  const joined = await ask(home, 'join', { token: token.trim() }, { timeoutSeconds })
  if (joined.renewedUntil !== undefined) {
    return say(
      `certificate renewed until ${joined.renewedUntil.slice(0, 10)}: this node stays a member of ${joined.channel}`,
    )
  }
  say(`this node (${joined.member}) is a member of ${joined.channel}`)
  // a node of another version may not say
  if (joined.voters === 2) {
    hint(
      `rkfs: warning: ${joined.channel} has two members now, and needs both: when one of them fails, nothing can be changed until it is back. Let a third one join`,
    )
  }
  hint(`mount it with \`rkfs mount ${joined.channel} <dir>\``)
}
