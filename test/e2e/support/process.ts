import { spawn } from 'node:child_process'

export interface Outcome {
  /** Null: it was ended by a signal, or by us. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
  readonly seconds: number
}

/**
 * Runs a program under a hard time limit, also when it is stuck in the kernel and cannot be killed. The environment is
 * clean: no setting of the person who runs the tests reaches it.
 */
export function run(
  program: string,
  args: readonly string[],
  options: { limitSeconds: number; env?: Record<string, string>; signal?: AbortSignal },
): Promise<Outcome> {
  const begun = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: '/',
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C.UTF-8', ...options.env },
    })
    let stdout = ''
    let stderr = ''
    let timedOut = false
    let settled = false
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const settle = (code: number | null): void => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      clearTimeout(lastResort)
      resolve({ code, stdout, stderr, timedOut, seconds: (performance.now() - begun) / 1000 })
    }
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, options.limitSeconds * 1000)
    const lastResort = setTimeout(
      () => {
        child.stdout.destroy()
        child.stderr.destroy()
        child.unref()
        settle(null)
      },
      options.limitSeconds * 1000 + 2000,
    )
    options.signal?.addEventListener('abort', () => child.kill('SIGKILL'), { once: true })
    child.once('error', reject)
    child.once('close', code => settle(code))
  })
}
