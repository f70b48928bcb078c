import { fork, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ActorCalls } from './actor-calls.js'
import { SysError } from './errors.js'
import { loader } from './loader.js'

export type CallName = keyof ActorCalls

export interface ActorRequest {
  readonly id: number
  readonly call: CallName | 'closeAll'
  readonly args: readonly unknown[]
}

export interface ActorAnswer {
  readonly id: number
  readonly begun?: true
  readonly value?: unknown
  readonly failure?: { call: string; errno: number }
  readonly error?: string
}

interface Pending {
  readonly settle: (answer: ActorAnswer) => void
  readonly end: () => void
}

/** A second process that makes system calls as it is told, for what one process cannot show: locks, races, death. */
export class Actor {
  readonly #process: ChildProcess
  readonly #pending = new Map<number, Pending>()
  #lastId = 0
  #begun = 0
  #ended = false

  private constructor(child: ChildProcess) {
    this.#process = child
    child.on('message', (answer: ActorAnswer) => {
      if (answer.begun) this.#begun = answer.id
      else {
        this.#pending.get(answer.id)?.settle(answer)
        this.#pending.delete(answer.id)
      }
    })
    child.once('exit', () => {
      this.#ended = true
      for (const { end } of this.#pending.values()) end()
    })
  }

  static async start(): Promise<Actor> {
    const child = fork(fileURLToPath(new URL('./actor-main.ts', import.meta.url)), [], {
      serialization: 'advanced',
      execArgv: [...loader],
    })
    const actor = new Actor(child)
    await actor.#answer(0)
    return actor
  }

  get pid(): number {
    return this.#process.pid!
  }

  get ended(): boolean {
    return this.#ended
  }

  #answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#pending.set(id, {
        end: () => reject(new Error('the other process has ended')),
        settle: ({ failure, error, value }) => {
          if (failure) reject(new SysError(failure.call, failure.errno))
          else if (error !== undefined) reject(new Error(error))
          else resolve(value)
        },
      })
    })
  }

  #send(call: ActorRequest['call'], args: readonly unknown[]): Promise<unknown> {
    const id = ++this.#lastId
    const answered = this.#answer(id)
    this.#process.send({ id, call, args } satisfies ActorRequest)
    return answered
  }

  do<Name extends CallName>(call: Name, ...args: Parameters<ActorCalls[Name]>): Promise<ReturnType<ActorCalls[Name]>> {
    return this.#send(call, args) as Promise<ReturnType<ActorCalls[Name]>>
  }

  closeAll(): Promise<unknown> {
    return this.#send('closeAll', [])
  }

  /** Resolves when the call that was sent last sleeps in the kernel. */
  async sleeps(): Promise<void> {
    let seen = 0
    while (seen < 3) {
      await new Promise(resolve => setTimeout(resolve, 5))
      const stat = readFileSync(`/proc/${this.pid}/stat`, 'latin1')
      seen = this.#begun === this.#lastId && / [SD] /.test(stat.slice(stat.lastIndexOf(')'))) ? seen + 1 : 0
    }
  }

  /** A signal that the process handles and that ends its waiting call with EINTR. */
  interrupt(): void {
    process.kill(this.pid, 'SIGUSR2')
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    const gone = new Promise(resolve => this.#process.once('exit', resolve))
    if (this.#ended) return
    this.#process.kill('SIGKILL')
    await gone
  }
}
