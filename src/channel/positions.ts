import type { MemberId } from '../base/ids.js'
import type { Core } from './core.js'
import type { LogStore } from './log-port.js'
import type { Roster } from './roster.js'
import type { ToldSpace } from './space-policy.js'
import type { Space } from './space.js'
import type { StagedLog } from './staged-log.js'
import type { Views } from './views.js'

/** What a member holds and has applied. */
export interface Position {
  readonly lastIndex: number
  readonly durableIndex: number
  readonly appliedIndex: number
}

/** This member's position is told when it has changed, and again after so many ticks. */
const repeatTicks = 20
/** … or when its free space has, by this part of what it keeps free. */
const freeSteps = 8

/** How far each member is, as it last said itself. */
export class Positions {
  readonly #store: LogStore
  readonly #log: StagedLog
  readonly #views: Views
  readonly #roster: Roster
  readonly #space: Space
  readonly #heard = new Map<MemberId, Position>()
  #announced = ''

  constructor({ ports, log, views, roster }: Core, space: Space) {
    this.#space = space
    this.#store = ports.log
    this.#log = log
    this.#views = views
    this.#roster = roster
  }

  hear(from: MemberId, position: Position & { readonly space?: ToldSpace }): void {
    this.#heard.set(from, position)
    this.#space.hear(from, position.lastIndex, position.space)
  }
  of(member: MemberId): Position | undefined {
    return this.#heard.get(member)
  }

  /** Somebody is there who may not have heard the last one. */
  announceAgain(): void {
    this.#announced = ''
  }

  /** Tells the others this member's position; false if they know it. */
  maybeAnnounce(ticks: number): boolean {
    const { lastIndex } = this.#log
    const { durableIndex } = this.#store
    const appliedIndex = this.#views.applied.index
    const space = this.#space.told
    const step = space === undefined ? 0 : Math.floor(space.free / Math.max(1, space.minFree / freeSteps))
    const text = `${lastIndex}/${durableIndex}/${appliedIndex}/${step}/${space?.exhausted}`
    if (text === this.#announced && ticks % repeatTicks !== 0) return false
    this.#announced = text
    this.#roster.tellOthers({
      kind: 'position',
      lastIndex,
      durableIndex,
      appliedIndex,
      ...(space === undefined ? {} : { space }),
    })
    return true
  }
}
