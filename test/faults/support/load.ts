import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Member } from './member.js'
import { checkAcknowledged, programs, type ProgramKind } from './programs.js'

interface Program {
  readonly kind: ProgramKind
  readonly journal: string
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
}

/** Programs at work in the mounts of a channel, and what they were promised. */
export class Load {
  readonly #folder: string
  readonly #programs: Program[] = []

  constructor(root: string) {
    this.#folder = join(root, 'journals')
    mkdirSync(this.#folder)
  }

  start(kind: ProgramKind, member: Member): void {
    const journal = join(this.#folder, `${kind}-${member.name}`)
    const child = spawn('python3', ['-c', programs[kind], member.directory, member.name, journal], {
      cwd: '/',
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const ended = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)))
    this.#programs.push({ kind, journal, child, ended })
  }

  /** Programs of every kind, spread over the members. */
  startAll(members: readonly Member[]): void {
    const [first, second, third] = members as [Member, Member, Member]
    for (const member of members) {
      this.start('writer', member)
      this.start('reader', member)
    }
    for (const member of [first, third]) this.start('replacer', member)
    this.start('database', second)
    this.start('repository', third)
  }

  /** Each ends its call and then itself; answers the ones that do not. */
  async stop(limitSeconds: number): Promise<string[]> {
    for (const { child } of this.#programs) child.kill('SIGTERM')
    const problems: string[] = []
    const limit = sleep(limitSeconds * 1000, 'stuck' as const, { ref: false })
    for (const { ended, journal, child } of this.#programs) {
      const end = await Promise.race([ended, limit])
      if (end === 0) continue
      problems.push(`${journal}: ${end === 'stuck' ? `does not end within ${limitSeconds} s` : `code ${end}`}`)
      child.kill('SIGKILL')
    }
    return problems
  }

  /** Synchronous: for the end of a run that failed. */
  kill(): void {
    for (const { child } of this.#programs) child.kill('SIGKILL')
  }

  get empty(): boolean {
    return this.#programs.length === 0
  }

  /** How many changes were acknowledged so far. */
  get acknowledged(): number {
    return this.#said('ok').length
  }

  /** What a program saw that must not be. */
  get violations(): string[] {
    return this.#said('bad').map(({ journal, line }) => `${journal}: ${line}`)
  }

  /** How often a reader saw an older version than before. */
  get stepsBack(): number {
    return this.#said('back').length
  }

  /** The calls that took longest, and the errors by name. */
  summary(): { readonly slowest: string[]; readonly errors: Record<string, number> } {
    const calls = [...this.#said('ok'), ...this.#said('no')].map(({ journal, line }) => ({
      text: `${journal.split('/').pop()} ${line}`,
      seconds: Number(line.split(' ').at(-1)),
    }))
    const errors: Record<string, number> = {}
    for (const { line } of this.#said('no')) {
      const name = line.split(' ')[1]!
      errors[name] = (errors[name] ?? 0) + 1
    }
    calls.sort((x, y) => y.seconds - x.seconds)
    return { slowest: calls.slice(0, 5).map(({ text }) => text), errors }
  }

  /** Attempts that took longer than this, but commits: one is hundreds of calls, and may meet several faults. */
  slowerThan(seconds: number): string[] {
    const measured = this.#programs.filter(({ kind }) => kind !== 'repository')
    return [...this.#said('ok', measured), ...this.#said('no', measured)]
      .filter(({ line }) => Number(line.split(' ').at(-1)) > seconds)
      .map(({ journal, line }) => `${journal.split('/').pop()}: ${line}`)
  }

  /** What of the acknowledged changes is missing or wrong, as a member sees it. */
  async missingOn(member: Member): Promise<string> {
    const journals = this.#programs.map(({ journal }) => journal).filter(journal => existsSync(journal))
    const { code, stdout, stderr } = await member.python(checkAcknowledged, 300, member.directory, ...journals)
    if (code !== 0) return `code ${code} ${stdout}${stderr}`
    return stdout.replace(/^checked \d+\n$/m, '')
  }

  #said(word: string, programs = this.#programs): { readonly journal: string; readonly line: string }[] {
    return programs.flatMap(({ journal }) =>
      (existsSync(journal) ? readFileSync(journal, 'utf8') : '')
        .split('\n')
        .flatMap(line => (line.startsWith(`${word} `) ? [{ journal, line }] : [])),
    )
  }
}
