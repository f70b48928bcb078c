import type { Command } from 'commander'
import { RkfsError } from '../base/errors.js'
import { chooseHome, inspectHome } from '../daemon/home.js'
import { callDaemon } from '../daemon/control-client.js'
import type { ControlVerb, ControlVerbs } from '../daemon/control-protocol.js'
import { checkChannelName } from './arguments.js'
import { ProgressBar } from './progress.js'

/** The home that this command is about, by `--home` and the environment. It need not exist. */
export function homeOf(command: Command): string {
  const { home } = command.optsWithGlobals<{ home?: string }>()
  return chooseHome(home, process.env)
}

/**
 * The channel that is meant by a name or an id, or the beginning of either. Where no node runs it is what was given: what is
 * asked next says what is wrong. Throws `not-found`, and `timeout` where the node is silent.
 */
export async function channelOf(home: string, given: string): Promise<string> {
  checkChannelName(given)
  inspectHome(home)
  try {
    return (await callDaemon(home, 'channel.meant', { channel: given }, { timeoutMs: quickSeconds * 1000 })).channel
  } catch (error) {
    if (error instanceof RkfsError && (error.code === 'not-found' || error.code === 'timeout')) throw error
    return given
  }
}

export interface AskOptions {
  /** 0: no limit. */
  readonly timeoutSeconds: number
  /** How much longer a node may take that answers otherwise: it gives up by itself, and says why. */
  readonly graceSeconds?: number
  readonly onItem?: (item: unknown) => void
}

/** Asks the running node, with a progress bar while it works. A home that cannot be a node's is named as such first. */
export async function ask<V extends ControlVerb>(
  home: string,
  verb: V,
  args: ControlVerbs[V]['args'],
  options: AskOptions,
): Promise<ControlVerbs[V]['result']> {
  inspectHome(home)
  const bar = new ProgressBar()
  try {
    return await callDaemon(home, verb, args, {
      timeoutMs: options.timeoutSeconds * 1000,
      graceMs: (options.graceSeconds ?? 0) * 1000,
      onProgress: bar.update,
      onItem: options.onItem,
    })
  } finally {
    bar.end()
  }
}

/** How long a command waits for an answer that needs no long work. */
export const quickSeconds = 15
/** For what a majority must agree to: the node gives up earlier by itself, with a reason. */
export const agreeSeconds = 60
