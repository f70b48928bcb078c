import { spawn, type StdioOptions } from 'node:child_process'

export interface RunResult {
  /** The exit status; undefined when the program could not be started, was killed or did not end in time. */
  readonly status: number | undefined
  readonly stderr: string
}

const STDERR_CHARS_MAX = 8192

/**
 * Runs a program to its end without a shell, in the C locale so that its messages can be told apart. Never throws.
 * `extraFd` becomes its descriptor 3. A program that does not end in time is killed and left behind.
 */
export function run(
  program: string,
  args: readonly string[],
  options: { timeoutMs: number; extraFd?: number; env?: Record<string, string> },
): Promise<RunResult> {
  return new Promise(resolve => {
    const stdio: StdioOptions = ['ignore', 'ignore', 'pipe']
    if (options.extraFd !== undefined) stdio.push(options.extraFd)
    const child = spawn(program, args, { stdio, cwd: '/', env: { ...process.env, LC_ALL: 'C', ...options.env } })
    let stderr = ''
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      child.stderr?.destroy()
      child.unref()
      resolve({ status: undefined, stderr: `${program} did not end within ${options.timeoutMs} ms` })
    }, options.timeoutMs)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < STDERR_CHARS_MAX) stderr += text
    })
    child.on('error', error => {
      clearTimeout(timer)
      resolve({ status: undefined, stderr: error.message })
    })
    child.on('close', status => {
      clearTimeout(timer)
      resolve({ status: status ?? undefined, stderr: stderr.trim() })
    })
  })
}
