/**
 * Keeps Node's debugger shut, which SIGUSR1 opens in a program that does not handle it. `main.ts` calls it first. Until then,
 * while Node itself starts, nothing can be done: what was opened in that time is closed (`closeDebugger`).
 */
export function keepDebuggerShut(): void {
  process.on('SIGUSR1', () => undefined)
}

/** Closes what a signal opened before; who asked for the debugger keeps it. */
export async function closeDebugger(): Promise<void> {
  const words = [...process.execArgv, process.env['NODE_OPTIONS'] ?? '']
  if (words.some(word => /--inspect(-brk|-wait)?(=|\s|$)/.test(word))) return
  try {
    const { close, url } = await import('node:inspector')
    if (url() !== undefined) close()
  } catch {
    // this Node has no debugger
  }
}
