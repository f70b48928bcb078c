import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url))

export interface CliResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  readonly home: string
  readonly env?: Record<string, string>
  readonly signal?: AbortSignal
  /** What comes on standard input, which is empty without it. */
  readonly input?: string
  /** Standard input does not end. */
  readonly keepsOpen?: boolean
}

/** Runs the command line from its source in a process of its own, with a clean environment and under a time limit. */
export function rkfs(args: readonly string[], options: CliOptions = { home: '/nonexistent/home' }): Promise<CliResult> {
  const env: NodeJS.ProcessEnv = { PATH: process.env['PATH'], HOME: '/nonexistent', RKFS_HOME: options.home }
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, ...args], {
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env: { ...env, ...options.env },
    signal: options.signal,
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  // a command that takes nothing in may have ended before all is written
  child.stdin?.on('error', () => {}).write(options.input ?? '')
  if (!options.keepsOpen) child.stdin?.end()
  let stdout = ''
  let stderr = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', code => resolve({ code, stdout, stderr }))
  })
}
