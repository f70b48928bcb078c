import { randomInt } from 'node:crypto'
import { previousHashOf } from '../adapters/sqlite/log-format.js'
import { openSnapshot } from '../adapters/sqlite/snapshot.js'
import { equalBytes } from '../base/bytes.js'
import { messageOf, RkfsError } from '../base/errors.js'
import type { MemberId } from '../base/ids.js'
import type { Channel } from '../channel/channel.js'
import type { ChannelHost } from './channel-host.js'
import type { Progress, VerifyReport } from './control-protocol.js'
import type { DeepResult } from './deep-verify.js'
import type { FilesMoment } from './file-readers.js'
import type { SnapshotPaths } from './snapshot-transfer.js'

/** What one member found at the marked index. */
interface MemberResult {
  readonly index: number
  readonly digest: string
  readonly content: string
  readonly files: number
  readonly bytes: number
  readonly entries: number
  readonly problems: readonly string[]
  /** Blobs that were damaged and came from another member. */
  readonly healed: number
}

interface Request {
  readonly requester: MemberId
  readonly deep: boolean
}

interface Gathering {
  readonly asked: ReadonlySet<MemberId>
  readonly results: Map<MemberId, MemberResult>
  readonly ready: Set<MemberId>
  changed: () => void
  progress: (member: MemberId, bytes: number) => void
}

const readyMs = 5000
/** Verifications of one other member that wait for their mark; the oldest gives way. */
const requestsPerMemberMax = 4

/** Why the state on disk is not the one of the mark. */
function notWrittenOut(channel: Channel, index: number, mark: number): string {
  const { failure, diskFull, restoring, stateMissing } = channel
  if (failure !== undefined) return `the channel stopped here: ${failure}`
  if (diskFull !== undefined) return `the state could not be written out: ${diskFull}`
  if (restoring || stateMissing) return 'the state is being fetched from another member: verify again after that'
  return `the state stands at entry ${index}, and entry ${mark} was to be verified: try again`
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** What another member says that it found; undefined for what no member of this version says. */
function decodeResult(value: Record<string, unknown>): MemberResult | undefined {
  const { index, digest, content, files, bytes, entries, problems, healed } = value
  if (!isCount(index) || !isCount(files) || !isCount(bytes) || !isCount(entries) || !isCount(healed)) return undefined
  if (typeof digest !== 'string' || typeof content !== 'string') return undefined
  if (!Array.isArray(problems) || !problems.every(problem => typeof problem === 'string')) return undefined
  return { index, digest, content, files, bytes, entries, problems, healed }
}

/**
 * `rkfs verify`: a mark goes through the log, and each member tells what its state is where it stands in the order: the
 * same index for all, whatever is written meanwhile.
 */
export class Verification {
  readonly #host: ChannelHost
  readonly #paths: SnapshotPaths
  readonly #requests = new Map<number, Request>()
  readonly #gatherings = new Map<number, Gathering>()
  #closed = false

  constructor(host: ChannelHost, paths: SnapshotPaths) {
    this.#host = host
    this.#paths = paths
  }

  note(from: MemberId, topic: string, body: string): void {
    let value: Record<string, unknown>
    try {
      const parsed = JSON.parse(body) as unknown
      if (typeof parsed !== 'object' || parsed === null) return
      value = parsed as Record<string, unknown>
    } catch {
      return
    }
    const { id, bytes } = value
    if (!isCount(id)) return
    if (topic === 'verify') return this.#ask(from, id, value['deep'] === true)
    const gathering = this.#gatherings.get(id)
    if (gathering === undefined || !gathering.asked.has(from)) return
    if (topic === 'verify-ready') {
      gathering.ready.add(from)
      gathering.changed()
    } else if (topic === 'verify-progress' && isCount(bytes)) gathering.progress(from, bytes)
    else if (topic === 'verify-result') {
      const result = decodeResult(value)
      if (result === undefined) return
      gathering.results.set(from, result)
      gathering.changed()
    }
  }

  /** A member wants to know what this one finds at its mark. */
  #ask(from: MemberId, id: number, deep: boolean): void {
    const known = this.#requests.get(id)
    if (known !== undefined && known.requester !== from) return
    const theirs = [...this.#requests].filter(([, { requester }]) => requester === from)
    if (known === undefined && theirs.length >= requestsPerMemberMax) this.#requests.delete(theirs[0]![0])
    this.#requests.set(id, { requester: from, deep })
    this.#tell(from, 'verify-ready', { id })
  }

  /** The state stands exactly at the mark: what is to be compared is taken now. */
  marked(id: number, index: number): void {
    const request = this.#requests.get(id)
    if (request === undefined) return
    this.#requests.delete(id)
    this.#examine(id, index, request).catch((error: unknown) => {
      if (this.#closed) return
      const failed: MemberResult = {
        index,
        digest: '',
        content: '',
        files: 0,
        bytes: 0,
        entries: 0,
        problems: [messageOf(error)],
        healed: 0,
      }
      this.#deliver(id, request, failed)
    })
  }

  async #readDeeply(id: number, requester: MemberId, { opened, signal }: FilesMoment): Promise<DeepResult> {
    const snapshot = await openSnapshot(this.#paths.state, this.#paths.log, damage => this.#host.mend(damage))
    opened()
    const stop = (): void => void snapshot.close()
    signal.addEventListener('abort', stop)
    try {
      const module = new URL(import.meta.url.endsWith('.ts') ? './deep-verify.ts' : './deep-verify.js', import.meta.url)
      const progress = (bytes: unknown): void => this.#progress(id, requester, Number(bytes))
      return (await snapshot.run(module.href, 'deepVerify', undefined, progress)) as DeepResult
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', stop)
      await snapshot.close()
    }
  }

  async #examine(id: number, index: number, { requester, deep }: Request): Promise<void> {
    const { channel } = this.#host
    const digest = channel.digest().hash
    const problems: string[] = []
    let found: DeepResult | undefined
    if (deep) {
      found = await this.#host.readers.read(true, moment => {
        if (moment.index !== index) throw new RkfsError('failed', notWrittenOut(channel, moment.index, index))
        return this.#readDeeply(id, requester, moment)
      })
      problems.push(...found.problems)
      if (found.digest !== digest) problems.push('the digest of the stored records differs from the one kept in memory')
    }
    const entries = await this.#checkChain(index, problems)
    this.#deliver(
      id,
      { requester, deep },
      {
        index,
        digest,
        content: found?.content ?? '',
        files: found?.files ?? 0,
        bytes: found?.bytes ?? 0,
        entries,
        problems,
        healed: found?.healed ?? 0,
      },
    )
  }

  /** The hash chain of all entries this member still has, up to the mark, from the disk. */
  async #checkChain(until: number, problems: string[]): Promise<number> {
    const { logStore } = this.#host
    let previous = logStore.anchor.hash
    let count = 0
    for (let index = logStore.anchor.index + 1; index <= until; index++) {
      const header = logStore.header(index)
      if (header === undefined) {
        // compaction went on meanwhile
        if (index <= logStore.anchor.index) {
          index = logStore.anchor.index
          previous = logStore.anchor.hash
          continue
        }
        problems.push(`entry ${index} is missing from the log`)
        break
      }
      if (!equalBytes(previousHashOf(header), previous)) {
        problems.push(`the hash chain breaks at entry ${index}`)
        break
      }
      previous = header.subarray(header.length - 32)
      if (++count % 2000 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    return count
  }

  #progress(id: number, requester: MemberId, bytes: number): void {
    if (requester === this.#host.identity.memberId) {
      this.#gatherings.get(id)?.progress(requester, bytes)
    } else this.#tell(requester, 'verify-progress', { id, bytes })
  }

  #deliver(id: number, request: Request, result: MemberResult): void {
    if (request.requester === this.#host.identity.memberId) {
      const gathering = this.#gatherings.get(id)
      gathering?.results.set(request.requester, result)
      gathering?.changed()
    } else this.#tell(request.requester, 'verify-result', { id, ...result })
  }

  #tell(to: MemberId, topic: string, value: object): void {
    this.#host.channel.note(to, topic, JSON.stringify(value))
  }

  /** Asks all members that can be reached and compares what they found. */
  async verify(deep: boolean, progress: (p: Progress) => void, signal: AbortSignal): Promise<VerifyReport> {
    const { channel, identity, transport, name } = this.#host
    const self = identity.memberId
    const id = randomInt(1, 2 ** 47)
    const members = channel.descriptor.members.filter(m => m.id !== self)
    const asked = members.filter(m => transport.connected(m.id))
    const bytes = new Map<MemberId, number>()
    const gathering: Gathering = {
      asked: new Set(asked.map(m => m.id)),
      results: new Map(),
      ready: new Set(),
      changed: () => {},
      progress: (member, done) => {
        bytes.set(member, done)
        const all = [...bytes.values()].reduce((a, b) => a + b, 0)
        progress({
          what: 'reading on all members',
          done: all,
          total: channel.table.dataBytes * (asked.length + 1),
          unit: 'bytes',
        })
      },
    }
    this.#gatherings.set(id, gathering)
    const until = async (done: () => boolean, ms: number): Promise<void> => {
      const end = performance.now() + ms
      while (!done() && performance.now() < end) {
        signal.throwIfAborted()
        await new Promise<void>(resolve => {
          const timer = setTimeout(resolve, 200)
          gathering.changed = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
    }
    try {
      this.#requests.set(id, { requester: self, deep })
      for (const member of asked) channel.note(member.id, 'verify', JSON.stringify({ id, deep }))
      await until(() => gathering.ready.size === asked.length, readyMs)
      const answering = asked.filter(m => gathering.ready.has(m.id))
      const errno = await new Promise<number>(resolve => {
        channel.change({ kind: 'mark', id }, new Uint8Array(0), { timeoutMs: 30_000, durable: true, done: resolve })
      })
      if (errno !== 0)
        throw new RkfsError(
          'no-quorum',
          `no majority of ${name} answers: nothing can be verified now: \`rkfs status ${name}\` says what to do`,
        )
      await until(() => gathering.results.size === answering.length + 1, deep ? 3_600_000 : 30_000)
      return this.#report(
        gathering,
        answering.map(m => m.id),
      )
    } finally {
      this.#gatherings.delete(id)
      this.#requests.delete(id)
    }
  }

  #report({ results }: Gathering, answering: readonly MemberId[]): VerifyReport {
    const { channel, identity } = this.#host
    const self = identity.memberId
    const own = results.get(self)
    if (own === undefined) throw new RkfsError('timeout', 'this member did not finish its verification in time')
    const nameOf = (member: MemberId): string => channel.descriptor.members.find(m => m.id === member)?.name ?? member
    const members = [self, ...answering].map(member => {
      const result = results.get(member)
      if (result === undefined) {
        const problems = ['no answer in time']
        return { id: member, name: nameOf(member), ok: false, digest: '', content: '', problems, healed: 0 }
      }
      const problems = [...result.problems]
      if (result.index !== own.index) problems.push(`it answered for index ${result.index}`)
      if (result.digest !== own.digest) problems.push(`its state differs from that of ${nameOf(self)}`)
      if (result.content !== own.content) problems.push(`the content of its files differs from that of ${nameOf(self)}`)
      return {
        id: member,
        name: nameOf(member),
        ok: problems.length === 0,
        digest: result.digest,
        content: result.content,
        problems,
        healed: result.healed,
      }
    })
    const unreachable = channel.descriptor.members
      .filter(m => m.id !== self && !answering.includes(m.id))
      .map(m => m.name)
    return {
      ok: members.every(m => m.ok) && unreachable.length === 0,
      index: own.index,
      entriesChecked: [...results.values()].reduce((sum, r) => sum + r.entries, 0),
      filesChecked: own.files,
      bytesChecked: [...results.values()].reduce((sum, r) => sum + r.bytes, 0),
      members,
      unreachable,
    }
  }

  close(): void {
    this.#closed = true
    for (const gathering of this.#gatherings.values()) gathering.changed()
  }
}
