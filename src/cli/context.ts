import type { Command } from 'commander'
import { chooseHome, inspectHome } from '../daemon/home.js'
import { callDaemon } from '../daemon/control-client.js'
import type { ControlVerb, ControlVerbs } from '../daemon/control-protocol.js'
import { ProgressBar } from './progress.js'

/** The home that this command is about, by `--home` and the environment. It need not exist. */
export function homeOf(command: Command): string {
  const { home } = command.optsWithGlobals<{ home?: string }>()
  return chooseHome(home, process.env)
}

export interface AskOptions {
  readonly timeoutSeconds: number
  /** 0 in `timeoutSeconds` means no limit. */
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
