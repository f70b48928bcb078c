import { spawn, type ChildProcess } from 'node:child_process'
import type { Failpoint } from '../../../src/base/failpoint.js'
import { callDaemon } from '../../../src/daemon/control-client.js'
import { type Machine, mainPath, until } from '../../e2e/support/cluster.js'

/** A node that is to die at a failpoint, started as a child of the test, which hears how it ends. */
export class DoomedNode {
  readonly #name: Failpoint
  readonly #machine: Machine
  readonly #child: ChildProcess
  #said = ''
  #signal: NodeJS.Signals | null | undefined

  /** `passing`: which passing of the failpoint, from 1. */
  constructor(machine: Machine, name: Failpoint, passing: number) {
    this.#name = name
    this.#machine = machine
    this.#child = spawn(process.execPath, [mainPath, 'serve', '--home', machine.home], {
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', RKFS_FAILPOINT: `${name}@${passing}` },
      stdio: ['ignore', 'ignore', 'pipe'],
      cwd: '/',
    })
    machine.pids.add(this.#child.pid!)
    this.#child
      .stderr!.setEncoding('utf8')
      .on('data', (text: string) => (this.#said = (this.#said + text).slice(-4000)))
    this.#child.once('exit', (_code, signal) => (this.#signal = signal))
  }

  get dead(): boolean {
    return this.#signal !== undefined
  }

  /** Waits until it answers, or has died on its way there. */
  async started(): Promise<void> {
    const answers = (): Promise<boolean> =>
      callDaemon(this.#machine.home, 'ping', {}, { timeoutMs: 5000 }).then(
        () => true,
        () => false,
      )
    await until('the node answers', async () => this.dead || (await answers()))
  }

  /** Waits for its death at the failpoint; any other end is an error. */
  async died(limitSeconds: number): Promise<void> {
    await until(`the death at ${this.#name}`, () => this.dead, limitSeconds)
    if (this.#signal !== 'SIGKILL' || !this.#said.includes(`failpoint ${this.#name}: crash\n`)) {
      throw new Error(`it did not die at ${this.#name} but by ${this.#signal}: ${this.#said.slice(-500)}`)
    }
  }
}
