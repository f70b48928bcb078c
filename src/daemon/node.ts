import { X509Certificate } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { requireDescriptors } from '../adapters/host/descriptors.js'
import { defaultNodeName } from '../adapters/host/machine.js'
import { createAuthority, createSigningRequest, issueCertificate } from '../adapters/pki/authority.js'
import { CspHome, type ChannelIdentity, type NodeKey } from '../adapters/pki/csp-home.js'
import { Invitations } from '../adapters/pki/invitations.js'
import { decodeToken, encodeToken, type Token } from '../adapters/pki/token.js'
import { verifyMemberCertificate } from '../adapters/pki/verify.js'
import { enroll, type Enrolled, type EnrollHandler, type Enrollment } from '../adapters/rpc/enrollment.js'
import { QuietLog } from '../adapters/rpc/log.js'
import { RpcNode } from '../adapters/rpc/rpc-node.js'
import { messageOf, RkfsError } from '../base/errors.js'
import { failpoint } from '../base/failpoint.js'
import { isChannelName, type MemberId } from '../base/ids.js'
import {
  decodeDescriptor,
  encodeDescriptor,
  withMember,
  withMemberAnew,
  withoutMember,
  type Descriptor,
} from '../channel/descriptor.js'
import { rootInode } from '../fs/records.js'
import { AddressBook, withEntry } from './address-book.js'
import { deleteChannel, discardChannel, removalsOf, type Removal } from './channel-deletion.js'
import { channelFolder, createChannelFolder, isClosed, readDescriptor, setClosed } from './channel-folder.js'
import { ChannelHost } from './channel-host.js'
import { begin, channelNames, finish, incompleteness, lackOfAuthority, mayCreate, tracesOf } from './channel-traces.js'
import { parseAddress, type Config } from './config.js'
import { matching } from './matching.js'
import type { ChannelSummary, Progress } from './control-protocol.js'
import { type Log, storeLogOf } from './log.js'
import { Mounts } from './mounts.js'
import { namingDisk } from './naming-disk.js'
import { Retry } from './retry.js'
import { ownerAwayWords } from './problems.js'
import { spaceSettings } from './size.js'
import { wasRemoved } from './reach.js'
import { channelStatus } from './status.js'

const changeMs = 30_000
/** How long an orderly stop waits for a majority to hold what this node changed: while none of it gets there, and in all. */
const drainStillMs = 5000
const drainMs = 60_000
const renewBeforeMs = 30 * 86_400_000

/** A node: its identity, its port, the channels it has a part in and its mounts. */
export class Node {
  readonly home: string
  readonly config: Config
  readonly csp: CspHome
  readonly mounts: Mounts
  readonly #log: Log
  readonly #key: NodeKey
  readonly #rpc: RpcNode
  /** Anybody may ask to be admitted, as often as it likes. */
  readonly #refusals: QuietLog
  readonly #hosts = new Map<string, ChannelHost>()
  readonly #addressBooks = new Map<string, AddressBook>()
  /** Channels that could not be opened, and why: the node serves the others. */
  readonly #broken = new Map<string, string>()
  /** They are tried again: a clock is set, a disk mounted, a certificate renewed, without a word to this node. */
  readonly #retries = new Map<string, Retry>()
  readonly #opening = new Map<string, Promise<ChannelHost>>()
  /** What is being done with a channel just now ("made", "closed"), by name: each opens or closes its files, so one at a time. */
  readonly #work = new Map<string, string>()
  #stopping = false
  readonly startedAt = performance.now()
  #listen = ''

  private constructor(home: string, config: Config, csp: CspHome, key: NodeKey, log: Log) {
    this.home = home
    this.config = config
    this.csp = csp
    this.#key = key
    this.#log = log
    this.#refusals = new QuietLog((level, message, fields) => log[level](message, fields), 60_000, 5)
    this.mounts = new Mounts(home, log)
    this.#rpc = new RpcNode({
      listen: config.listen,
      nodeKey: key,
      advertise: config.advertise,
      log: (level, message, fields) => log[level](message, fields),
    })
  }

  static async start(home: string, config: Config, log: Log): Promise<Node> {
    const csp = new CspHome(home)
    const key = await csp.nodeKey(words => log.warn(words))
    const node = new Node(home, config, csp, key, log)
    node.#listen = await node.#rpc.start()
    for (const name of channelNames(home)) {
      try {
        await node.#tryOpen(name)
      } catch (error) {
        node.#notOpened(name, messageOf(error))
        node.#retry(name)
      }
    }
    return node
  }

  /** Opens a channel unless it is closed, or something is done with it. Throws what stands in its way. */
  async #tryOpen(name: string): Promise<void> {
    if (this.#isBusy(name) || !channelNames(this.home).includes(name)) return
    const lacking = this.#lacking(name)
    if (lacking !== undefined) throw new RkfsError('failed', lacking)
    // whole: what was noted of its making is done
    for (const what of ['creating', 'joining'] as const) finish(this.home, name, what)
    await this.#renewOwn(name)
    if (!isClosed(channelFolder(this.home, name))) await this.#open(name)
  }

  #notOpened(name: string, reason: string): void {
    if (this.#broken.get(name) !== reason) {
      // of a join that goes on it is nothing that went wrong
      const level = this.#lacking(name) === undefined ? 'error' : 'warn'
      this.#log[level]('a channel could not be opened; it is tried again', { channel: name, error: reason })
    }
    this.#broken.set(name, reason)
  }

  #retry(name: string): void {
    const failed = (reason: string): void => this.#notOpened(name, reason)
    const retry = this.#retries.get(name) ?? new Retry(() => this.#tryOpen(name), failed)
    this.#retries.set(name, retry)
    retry.begin()
  }

  get id(): MemberId {
    return this.#key.memberId
  }
  get listen(): string {
    return this.#listen
  }
  /** What other members are told to connect to. */
  get advertised(): string {
    return this.config.advertise === '' ? this.#listen : this.config.advertise
  }
  get hosts(): ChannelHost[] {
    return [...this.#hosts.values()]
  }
  /** Channels that are not open, and why: something is wrong with them, or missing. */
  get broken(): ReadonlyMap<string, string> {
    const words = (name: string): string | undefined => {
      const problem = this.#problem(name)
      const next = this.#retries.get(name)?.next
      if (problem === undefined || next === undefined) return problem
      return `${problem} (opening it is tried again at ${next.toISOString().slice(11, 19)} UTC, and so on until it succeeds)`
    }
    const broken = channelNames(this.home).map(name => [name, words(name)] as const)
    return new Map(broken.filter((each): each is [string, string] => each[1] !== undefined))
  }

  /** The names of the channels that are closed here. */
  get closed(): string[] {
    return channelNames(this.home).filter(name => !this.#isBusy(name) && this.#problem(name) === undefined)
  }

  /** Open, or something is being done with it. */
  #isBusy(name: string): boolean {
    return this.#hosts.has(name) || this.#work.has(name)
  }

  /** Nobody else does anything with the channel's files meanwhile. Throws `busy` where somebody does. */
  async #alone<T>(name: string, done: string, work: () => Promise<T>): Promise<T> {
    this.#checkIdle(name)
    this.#work.set(name, done)
    try {
      return await work()
    } finally {
      this.#work.delete(name)
    }
  }

  #checkIdle(name: string): void {
    if (this.#stopping) throw new RkfsError('unavailable', 'the node is stopping')
    const other = this.#work.get(name)
    if (other !== undefined) throw new RkfsError('busy', `channel ${name} is being ${other} just now: try again later`)
  }

  #problem(name: string): string | undefined {
    return this.#isBusy(name) ? undefined : (this.#lacking(name) ?? this.#broken.get(name))
  }

  /** What is missing of a channel of which something is here. */
  #lacking(name: string): string | undefined {
    return incompleteness(this.home, tracesOf(this.home, name))
  }

  host(channel: string): ChannelHost {
    const host = this.#hosts.get(channel)
    if (host !== undefined) return host
    const why = this.#problem(channel)
    if (why !== undefined) throw new RkfsError('failed', `channel ${channel} cannot be opened: ${why}`)
    if (channelNames(this.home).includes(channel)) {
      throw new RkfsError(
        'unavailable',
        `channel ${channel} is closed on this node: \`rkfs mount ${channel} <dir>\` opens it`,
      )
    }
    const known = channelNames(this.home)
    throw new RkfsError(
      'not-found',
      `this node has no channel ${channel}${known.length > 0 ? ` (it has: ${known.join(', ')})` : ''}: ` +
        `\`rkfs channel create ${channel}\` makes one, \`rkfs join\` joins another's`,
    )
  }

  /** How many voters a channel is to have when those that catch up have done so; 0: it is not open. */
  votersOf(channel: string): number {
    const members = this.#hosts.get(channel)?.channel.descriptor.members ?? []
    return members.filter(member => member.role === 'voter').length
  }

  /** The name of the channel that is meant by a name or an id, or the beginning of either; what fits none as it is. */
  channelMeant(given: string): string {
    const named = channelNames(this.home).map(name => ({ name, id: this.#idOf(name) }))
    const matches = matching(named, given)
    if (matches.length > 1) {
      throw new RkfsError('not-found', `${given} may be ${matches.map(m => m.name).join(' or ')}: give more of it`)
    }
    return matches[0]?.name ?? given
  }

  #idOf(name: string): string {
    try {
      return this.#hosts.get(name)?.identity.channelId ?? readDescriptor(channelFolder(this.home, name)).id
    } catch {
      return ''
    }
  }

  /** Whether all of a channel is here. */
  has(channel: string): boolean {
    return channelNames(this.home).includes(channel) && this.#lacking(channel) === undefined
  }

  /** Whether `mount` makes a channel of that name: not where anything of one is there. */
  mayCreate(channel: string): boolean {
    return mayCreate(tracesOf(this.home, channel))
  }

  /** Two at a time would share its files. */
  #open(name: string): Promise<ChannelHost> {
    const open = this.#hosts.get(name)
    if (open !== undefined) return Promise.resolve(open)
    const opening = this.#opening.get(name) ?? this.#openNow(name).finally(() => this.#opening.delete(name))
    this.#opening.set(name, opening)
    return opening
  }

  async #openNow(name: string): Promise<ChannelHost> {
    const identity = await this.csp.identity(name, Date.now())
    if (this.#stopping) throw new RkfsError('unavailable', 'the node is stopping')
    if (identity === undefined) {
      throw new RkfsError(
        'not-member',
        `${this.csp.certificatePath(name)} is missing: this node has no certificate for channel ${name}`,
      )
    }
    const folder = channelFolder(this.home, name)
    this.#log.info('opening a channel', { channel: name })
    const owner = readDescriptor(folder).owner === identity.memberId
    const invitations = owner ? await Invitations.open(folder) : undefined
    const host = new ChannelHost({
      home: this.home,
      name,
      identity,
      rpc: this.#rpc,
      log: this.#log,
      space: spaceSettings(this.config),
      ...(invitations === undefined ? {} : { invitations, enroll: this.#enroller(name, invitations) }),
    })
    this.#hosts.set(name, host)
    this.#broken.delete(name)
    this.#keepAddress(host)
    return host
  }

  #keepAddress(host: ChannelHost): void {
    const name = this.config.name === defaultNodeName() ? undefined : this.config.name
    const book = new AddressBook(host, { address: this.advertised, name })
    this.#addressBooks.set(host.name, book)
    host.onNote = (from, topic, body) => book.note(from, topic, body)
    book.start()
  }

  #closeAddressBook(name: string): void {
    this.#addressBooks.get(name)?.close()
    this.#addressBooks.delete(name)
  }

  /** Opens a channel that was closed, or could not be opened before. One that cannot be opened stays what it was. */
  async reopen(name: string): Promise<ChannelHost> {
    this.#checkIdle(name)
    const open = this.#hosts.get(name)
    if (open !== undefined) return open
    // what is wrong with a certificate is told by opening it
    const { folderProblem, begun } = tracesOf(this.home, name)
    if (folderProblem !== undefined || begun.has('deleting')) return this.host(name)
    const host = await this.#open(name)
    setClosed(channelFolder(this.home, name), false)
    return host
  }

  closeChannel(name: string, force: boolean): Promise<void> {
    return this.#alone(name, 'closed', async () => {
      const host = this.host(name)
      if (!force) await host.drained(changeMs)
      await this.mounts.unmountAll(name, force)
      // what programs wrote until then
      if (!force) await host.drained(changeMs)
      await host.handOver()
      this.#closeAddressBook(name)
      await host.close()
      setClosed(channelFolder(this.home, name), true)
      this.#hosts.delete(name)
    })
  }

  /** Makes a channel with this node as owner and only member. */
  async createChannel(name: string): Promise<ChannelHost> {
    if (!isChannelName(name)) {
      throw new RkfsError(
        'usage',
        `bad channel name ${JSON.stringify(name)}: letters, digits, '.', '_' and '-', at most 64`,
      )
    }
    this.#checkIdle(name)
    if (this.has(name)) throw new RkfsError('exists', `this node has a channel ${name} already`)
    if (!this.mayCreate(name)) {
      const problem = this.#problem(name) ?? ''
      throw new RkfsError('refused', `no channel ${name} is made here, since something of one is there: ${problem}`)
    }
    const host = await this.#alone(name, 'made', () => namingDisk(this.home, () => this.#create(name)))
    // a channel of one leads itself; what follows (an invitation, a mount) finds it ready
    for (let i = 0; i < 100 && host.channel.role !== 'leader'; i++) await sleep(20)
    return host
  }

  /**
   * Cut short by a crash it is begun anew: until the channel is open nobody can have been admitted. Where it fails nothing of
   * it is left.
   */
  async #create(name: string): Promise<ChannelHost> {
    requireDescriptors(`channel ${name} cannot be made`)
    try {
      begin(this.home, name, 'creating')
      const identity = await this.#newIdentity(name)
      const descriptor = this.#firstDescriptor(name, identity)
      createChannelFolder(this.home, descriptor, this.#owner(identity), true, storeLogOf(this.#log))
      finish(this.home, name, 'creating')
      return await this.#open(name)
    } catch (error) {
      this.#discard(name)
      throw error
    }
  }

  /** An authority for a channel that is being made, and this node's certificate by it. */
  async #newIdentity(name: string): Promise<ChannelIdentity> {
    const authority = await createAuthority(name)
    await this.csp.storeAuthority(name, authority)
    const csr = await createSigningRequest(this.#key.key, this.config.name)
    const validity = { now: Date.now(), days: this.config.certDays }
    const certificate = await issueCertificate(authority, csr, this.id, this.config.name, validity)
    await this.csp.storeMembership(name, authority.caPem, certificate)
    return (await this.csp.identity(name, Date.now()))!
  }

  /** Why a channel could not be made is what counts, also where what is there of it cannot be removed. */
  #discard(name: string): void {
    try {
      discardChannel(this.home, name)
      this.#broken.delete(name)
    } catch (error) {
      this.#log.warn('what was made of a channel could not be removed', { channel: name, error: messageOf(error) })
    }
  }

  /** What deleting a channel removes. Throws why it must not be deleted. */
  removals(name: string): Removal[] {
    const host = this.#hosts.get(name)
    const mounted = [...(host === undefined ? [] : this.mounts.of(host)), ...this.mounts.deadOf(name)]
    if (mounted.length > 0) {
      const at = mounted.map(mount => mount.directory)
      throw new RkfsError('busy', `${name} is mounted at ${at.join(', ')}: \`rkfs umount ${at[0]}\` first`)
    }
    this.#checkIdle(name)
    return removalsOf(this.home, name, this.id, host?.channel.descriptor)
  }

  /** Removes a channel that nobody else is in. */
  async deleteChannel(name: string): Promise<Removal[]> {
    const removals = this.removals(name)
    await this.#alone(name, 'deleted', async () => {
      await this.#opening.get(name)?.catch(() => undefined)
      const host = this.#hosts.get(name)
      this.#closeAddressBook(name)
      await this.mounts.unmountAll(name)
      this.#hosts.delete(name)
      await host?.close()
      deleteChannel(this.home, name)
    })
    this.#broken.delete(name)
    this.#log.info('a channel was deleted', { channel: name })
    return removals
  }

  /** A channel that was made for a mount goes with it, where it could not be mounted, and nobody has begun to use it. */
  async unmake(name: string): Promise<void> {
    const channel = this.#hosts.get(name)?.channel
    // another mount may have been there meanwhile, or an invitation
    const isUnused =
      channel !== undefined &&
      channel.descriptor.members.length === 1 &&
      channel.pending.operations === 0 &&
      channel.view.scan('entry', rootInode, undefined, 1).length === 0
    if (!isUnused) return
    try {
      await this.deleteChannel(name)
    } catch (error) {
      this.#log.warn('a channel that was made for a mount stays', { channel: name, error: messageOf(error) })
    }
  }

  #owner(identity: ChannelIdentity): { channelId: string; member: MemberId } {
    return { channelId: identity.channelId, member: identity.memberId }
  }

  #firstDescriptor(name: string, identity: ChannelIdentity): Descriptor {
    return {
      name,
      id: identity.channelId,
      owner: identity.memberId,
      version: 1,
      nextSlot: 2,
      members: [
        {
          id: identity.memberId,
          name: this.config.name,
          address: this.advertised,
          role: 'voter',
          state: 'voter',
          slot: 1,
          certificate: Buffer.from(new X509Certificate(identity.certificatePem).raw).toString('base64'),
        },
      ],
    }
  }

  #ownersOnly(name: string, what: string): ChannelHost & { invitations: Invitations } {
    const host = this.host(name)
    if (host.invitations === undefined) {
      const { owner, members } = host.channel.descriptor
      const ownerName = members.find(m => m.id === owner)?.name ?? owner
      const words = `only the owner of channel ${name} (${ownerName}) may ${what}`
      const mounted = this.mounts.of(host)[0]?.directory
      const wayOut = host.transport.connected(owner)
        ? ''
        : `, and it is not connected. ${ownerAwayWords(host, mounted)}`
      throw new RkfsError('refused', words + wayOut)
    }
    return host as ChannelHost & { invitations: Invitations }
  }

  async invite(name: string, expiresSeconds: number): Promise<{ token: string; expires: number; address: string }> {
    const host = this.#ownersOnly(name, 'invite members')
    const lack = lackOfAuthority(this.home, name)
    if (lack !== undefined) throw new RkfsError('failed', lack)
    const { secret, expires } = await host.invitations.issue(expiresSeconds)
    const ca = new X509Certificate(host.identity.caPem)
    const token = encodeToken({
      channel: name,
      channelId: host.identity.channelId,
      owner: host.identity.memberId,
      addresses: [this.advertised],
      caFingerprint: Buffer.from(ca.fingerprint256.replaceAll(':', ''), 'hex'),
      secret,
      expires,
    })
    return { token, expires, address: this.advertised }
  }

  /** The owner's side of `join`. */
  #enroller(name: string, invitations: Invitations): EnrollHandler {
    const refused = (error: unknown, member?: MemberId): void => {
      const who = member === undefined ? {} : { member }
      this.#refusals.warn(name, 'a node was not admitted', { channel: name, ...who, reason: messageOf(error) })
    }
    return {
      check: secret => {
        const redemption = invitations.check(secret)
        if (redemption.ok) return
        const error = new RkfsError('refused', redemption.reason)
        refused(error)
        throw error
      },
      enroll: async enrollment => {
        try {
          return await this.#enrollMember(name, invitations, enrollment)
        } catch (error) {
          refused(error, enrollment.memberId)
          throw error
        }
      },
    }
  }

  async #enrollMember(name: string, invitations: Invitations, enrollment: Enrollment): Promise<Enrolled> {
    const { secret, csrDer, memberId, name: memberName, address, renewal } = enrollment
    const host = this.host(name)
    const redemption = await invitations.redeem(secret, memberId)
    if (!redemption.ok) throw new RkfsError('refused', redemption.reason)
    failpoint('secret-redeemed')
    const isKnown = host.channel.descriptor.members.some(m => m.id === memberId)
    this.#checkEnrollment(host, memberId, isKnown, renewal)
    const authority = await this.csp.authority(name)
    if (authority === undefined) throw new RkfsError('refused', `the owner of ${name} has no certificate authority`)
    const validity = { now: Date.now(), days: this.config.certDays }
    const pem = await issueCertificate(authority, csrDer, memberId, memberName, validity)
    const certificate = new X509Certificate(pem).raw
    if (isKnown && renewal) this.#renewed(host, memberId, certificate)
    else if (isKnown) await this.#admitAnew(host, memberId, memberName, address, certificate)
    else await this.#admit(host, memberId, memberName, address, certificate)
    return {
      certificate,
      ca: new X509Certificate(authority.caPem).raw,
      descriptor: encodeDescriptor(host.channel.descriptor),
    }
  }

  /** Throws `refused`; the same member may redeem its token again. */
  #checkEnrollment(host: ChannelHost, member: MemberId, isKnown: boolean, renewal: boolean): void {
    if (renewal && !isKnown) {
      throw new RkfsError('refused', `${member} is no member of ${host.name}, so it has no certificate to renew`)
    }
    if (renewal || !isKnown) return
    if (member === host.channel.descriptor.owner) {
      throw new RkfsError('refused', `${member} owns ${host.name}: it cannot join its own channel anew`)
    }
    if (host.transport.connected(member)) {
      throw new RkfsError(
        'refused',
        `member ${member} of ${host.name} is connected, so its channel is open on a node: close it there first`,
      )
    }
  }

  /** A member lost its log: it is removed and admitted as a learner in one change, since its old acknowledgements are void. */
  async #admitAnew(
    host: ChannelHost,
    id: MemberId,
    name: string,
    address: string,
    certificate: Uint8Array,
  ): Promise<void> {
    const encoded = Buffer.from(certificate).toString('base64')
    const slot = host.channel.descriptor.members.find(m => m.id === id)?.slot
    await host.changeMembers(descriptor => {
      const known = descriptor.members.find(m => m.id === id)
      if (known === undefined || known.slot !== slot) return undefined
      return withMemberAnew(descriptor, { id, name, address, role: known.role, certificate: encoded })
    }, changeMs)
    this.#tellAdmitted('admitted anew', host, { member: id, name, address })
  }

  /** A member has a new certificate. It counts at once: without it there may be no majority that could note it down. */
  #renewed(host: ChannelHost, member: MemberId, certificate: Uint8Array): void {
    const encoded = Buffer.from(certificate).toString('base64')
    host
      .changeMembers(descriptor => withEntry(descriptor, member, { certificate: encoded }), changeMs)
      .then(
        () => this.#log.info('a certificate was renewed', { channel: host.name, member }),
        (error: unknown) => {
          this.#log.warn('a renewed certificate is not in the descriptor', { channel: host.name, member, error })
        },
      )
  }

  async #admit(host: ChannelHost, id: MemberId, name: string, address: string, certificate: Uint8Array): Promise<void> {
    await host.changeMembers(descriptor => {
      if (descriptor.members.some(m => m.id === id)) return undefined
      const encoded = Buffer.from(certificate).toString('base64')
      return withMember(descriptor, { id, name, address, role: 'voter', certificate: encoded })
    }, changeMs)
    this.#tellAdmitted('admitted', host, { member: id, name, address })
  }

  /** The descriptor that names the newcomer is committed. */
  #tellAdmitted(how: string, host: ChannelHost, who: { member: MemberId; name: string; address: string }): void {
    failpoint('member-admitted')
    this.#log.info(how, { channel: host.name, ...who })
  }

  async addMember(
    channel: string,
    certificatePem: string,
    address: string,
    name: string | undefined,
  ): Promise<MemberId> {
    const host = this.#ownersOnly(channel, 'add members')
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(certificatePem)
    } catch (cause) {
      throw new RkfsError('usage', `that is no certificate in PEM form: ${messageOf(cause)}`, { cause })
    }
    const ca = new X509Certificate(host.identity.caPem)
    const member = verifyMemberCertificate(certificate, ca, host.identity.channelId, Date.now())
    await this.#admit(host, member.memberId, name ?? member.name, address, certificate.raw)
    return member.memberId
  }

  /** Says where another member is, on this machine, for when nobody reaches anybody who could tell. */
  async setMemberAddress(
    channel: string,
    given: string,
    address: string,
  ): Promise<{ member: MemberId; name: string; self: boolean; agreed: boolean }> {
    const host = this.host(channel)
    const id = findMember(host.channel.descriptor, given)
    if ((parseAddress(address)?.port ?? 0) === 0) {
      throw new RkfsError(
        'usage',
        `${JSON.stringify(address)} is no address: give HOST:PORT, e.g. beta.example.org:7400`,
      )
    }
    const { name, address: known } = host.channel.descriptor.members.find(m => m.id === id)!
    const self = id === this.id
    const agreed = known === address
    if (!self) host.redirect(id, address)
    return { member: id, name, self, agreed }
  }

  /** Ends a member's session, for who lets its service go on elsewhere. Any member may: each of them could write in its place. */
  async fenceMember(channel: string, given: string): Promise<MemberId> {
    const host = this.host(channel)
    const id = findMember(host.channel.descriptor, given)
    await host.fence(id, changeMs)
    return id
  }

  /** Of two voters the other one is gone for good, as people say: this node decides alone. Throws `refused`, `no-quorum`. */
  async giveUpVoter(channel: string, given: string): Promise<MemberId> {
    const { channel: brain, name } = this.host(channel)
    const id = findMember(brain.descriptor, given)
    brain.giveUpVoter(id)
    for (const end = performance.now() + changeMs; brain.configuration.voters.includes(id); await sleep(50)) {
      if (performance.now() > end) {
        throw new RkfsError(
          'no-quorum',
          `${name} goes on without ${id}, but has not taken its vote away yet: see rkfs status`,
        )
      }
    }
    return id
  }

  async removeMember(channel: string, given: string): Promise<MemberId> {
    const host = this.#ownersOnly(channel, 'remove members')
    const id = findMember(host.channel.descriptor, given)
    withoutMember(host.channel.descriptor, id)
    await host.invitations.revoke(id)
    await host.changeMembers(
      descriptor => (descriptor.members.some(m => m.id === id) ? withoutMember(descriptor, id) : undefined),
      changeMs,
    )
    return id
  }

  async join(
    text: string,
    progress: (p: Progress) => void,
    signal: AbortSignal,
  ): Promise<{ channel: string; member: MemberId; renewedUntil?: string }> {
    const token = decodeToken(text, Math.floor(Date.now() / 1000))
    const name = token.channel
    this.#checkIdle(name)
    if (tracesOf(this.home, name).folderProblem === undefined) return this.#renew(token, signal)
    const host = await this.#alone(name, 'joined', () => namingDisk(this.home, () => this.#joinAnew(token, signal)))
    await caughtUp(host, progress, signal)
    return { channel: name, member: this.id }
  }

  /** Until the folder is there, the attempt is noted: `mount` makes no channel of that name meanwhile, nor after it failed. */
  async #joinAnew(token: Token, signal: AbortSignal): Promise<ChannelHost> {
    const name = token.channel
    const { hasFolder, hasAuthority } = tracesOf(this.home, name)
    if (hasFolder || hasAuthority) {
      throw new RkfsError('refused', `this node cannot join another ${name}: ${this.#lacking(name) ?? ''}`)
    }
    begin(this.home, name, 'joining')
    let enrolled: Enrolled
    try {
      // its token counts once
      requireDescriptors(`channel ${name} cannot be joined`)
      enrolled = await this.#enroll(token, false, signal)
    } catch (error) {
      begin(this.home, name, 'joining', messageOf(error))
      throw error
    }
    failpoint('member-enrolled')
    const descriptor = decodeDescriptor(enrolled.descriptor)
    const identity = (await this.csp.identity(name, Date.now()))!
    createChannelFolder(this.home, descriptor, this.#owner(identity), false, storeLogOf(this.#log))
    finish(this.home, name, 'joining')
    return this.#openOrRetry(name)
  }

  /** It is a member from now on: a channel that cannot be opened is tried again, as after a start. */
  async #openOrRetry(name: string): Promise<ChannelHost> {
    try {
      return await this.#open(name)
    } catch (error) {
      this.#notOpened(name, messageOf(error))
      this.#retry(name)
      throw error
    }
  }

  /** Asks the token's owner for a certificate and stores it. */
  async #enroll(token: Token, renewal: boolean, signal: AbortSignal): Promise<Enrolled> {
    const csrDer = await createSigningRequest(this.#key.key, this.config.name)
    const { name } = this.config
    const own = { csrDer, memberId: this.id, name, listenAddress: this.advertised }
    const enrolled = await enroll({ token, ...own, renewal, signal })
    const { id, owner, name: channel } = decodeDescriptor(enrolled.descriptor)
    if (id !== token.channelId || owner !== token.owner || channel !== token.channel) {
      throw new RkfsError('refused', `the owner answered with the descriptor of another channel than ${token.channel}`)
    }
    const pem = (der: Uint8Array): string => new X509Certificate(der).toString()
    await this.csp.storeMembership(token.channel, pem(enrolled.ca), pem(enrolled.certificate))
    return enrolled
  }

  /** `join` on a member: a new certificate in place of one that ends soon, or has ended. */
  async #renew(
    token: Token,
    signal: AbortSignal,
  ): Promise<{ channel: string; member: MemberId; renewedUntil: string }> {
    const name = token.channel
    const descriptor = this.#hosts.get(name)?.channel.descriptor ?? readDescriptor(channelFolder(this.home, name))
    if (descriptor.id !== token.channelId) {
      throw new RkfsError('exists', `this node has a channel ${name} already: it cannot join another one of that name`)
    }
    const open = this.#hosts.get(name)
    const removed = open === undefined ? !descriptor.members.some(m => m.id === this.id) : wasRemoved(open)
    if (removed) {
      throw new RkfsError(
        'refused',
        `this node was removed from ${name}: stop it, move its home ${this.home} away, and join with a new one`,
      )
    }
    await this.#enroll(token, true, signal)
    const identity = (await this.csp.identity(name, Date.now()))!
    if (open !== undefined) this.#useIdentity(open, identity)
    else if (this.#broken.has(name)) await this.#open(name)
    return { channel: name, member: this.id, renewedUntil: identity.notAfter.toISOString() }
  }

  #useIdentity(host: ChannelHost, identity: ChannelIdentity): void {
    this.#rpc.renew(identity.channelId, identity.certificatePem, identity.keyPem)
    host.identity = identity
  }

  /** The owner issues its own certificate anew when it ends soon, or has ended. */
  async #renewOwn(name: string): Promise<void> {
    try {
      const end = await this.csp.certificateEnd(name)
      if (end === undefined || end.getTime() - Date.now() > renewBeforeMs) return
      if (readDescriptor(channelFolder(this.home, name)).owner !== this.id) return
      const authority = await this.csp.authority(name)
      if (authority === undefined) return
      const csr = await createSigningRequest(this.#key.key, this.config.name)
      const validity = { now: Date.now(), days: this.config.certDays }
      const certificate = await issueCertificate(authority, csr, this.id, this.config.name, validity)
      await this.csp.storeMembership(name, authority.caPem, certificate)
      this.#log.info('renewed the certificate of this node', { channel: name })
    } catch (error) {
      // what is wrong with the files is told when the channel is opened
      this.#log.warn('the certificate of this node could not be renewed', { channel: name, error: messageOf(error) })
    }
  }

  summaries(): ChannelSummary[] {
    const names = channelNames(this.home).filter(name => this.#hosts.has(name) || !this.#work.has(name))
    return names.map(name => {
      const host = this.#hosts.get(name)
      if (host !== undefined) {
        const status = channelStatus(host, this.mounts)
        return {
          name,
          id: status.id,
          role: status.role,
          state: status.state,
          problem:
            status.state === 'failed'
              ? (status.problems[0] ?? null)
              : ((host.invitations && lackOfAuthority(this.home, name)) ?? null),
          members: status.members.length,
          mounts: status.mounts.map(mount => mount.dir),
        }
      }
      const problem = this.#problem(name) ?? null
      const role = tracesOf(this.home, name).hasAuthority ? ('owner' as const) : ('member' as const)
      const state = problem === null ? ('closed' as const) : ('failed' as const)
      try {
        const { id, members } = readDescriptor(channelFolder(this.home, name))
        return { name, id, role, state, problem, members: members.length, mounts: [] }
      } catch (error) {
        return { name, id: '', role, state: 'failed', problem: problem ?? messageOf(error), members: 0, mounts: [] }
      }
    })
  }

  /**
   * Mounts that an earlier run left, or had when it stopped, come back; but for the one at `except`, where somebody is about to
   * mount. Resolves when each was tried once.
   */
  restoreMounts(except: string | undefined): Promise<void> {
    const open = (channel: string): ChannelHost => {
      this.#checkIdle(channel)
      return this.host(channel)
    }
    return this.mounts.restore(open, this.config.timeoutSeconds, except)
  }

  async stop(force: boolean): Promise<void> {
    this.#stopping = true
    this.mounts.close()
    await Promise.all([...this.#retries.values()].map(retry => retry.close()))
    await Promise.allSettled(this.#opening.values())
    // first: programs write until their mount is gone, and the next run proposes nothing of what this one leaves
    await this.mounts.unmountAll(undefined, force)
    failpoint('stop-unmounted')
    if (!force) {
      const drained = this.hosts.map(host => host.drainedWhileMoving(drainStillMs, drainMs))
      await Promise.all(drained.map(each => each.catch(error => this.#log.warn(messageOf(error)))))
    }
    failpoint('stop-drained')
    if (!force) await Promise.all(this.hosts.map(host => host.handOver()))
    for (const host of this.hosts) {
      this.#closeAddressBook(host.name)
      await host.close()
    }
    this.#hosts.clear()
    await this.#rpc.stop()
  }
}

/** An id, a name, or the beginning of either that no other member has. */
function findMember(descriptor: Descriptor, given: string): MemberId {
  const matches = matching(descriptor.members, given)
  if (matches.length === 1) return matches[0]!.id
  throw new RkfsError(
    'not-found',
    matches.length === 0
      ? `${descriptor.name} has no member ${given}: \`rkfs member list ${descriptor.name}\` shows them`
      : `${given} may be ${matches.map(m => `${m.name} (${m.id})`).join(' or ')}: give more of it, or of the id`,
  )
}

/** Waits until a new member has the channel's state and is what its owner wants it to be. */
async function caughtUp(host: ChannelHost, progress: (p: Progress) => void, signal: AbortSignal): Promise<void> {
  for (;;) {
    if (signal.aborted) {
      throw new RkfsError(
        'unavailable',
        `the node was stopped, or nobody waits any more, before all of ${host.name} was here: this node is a member, and goes ` +
          'on fetching the files whenever it runs',
      )
    }
    const { channel } = host
    const self = channel.descriptor.members.find(m => m.id === host.identity.memberId)
    if (!channel.serving && channel.failure !== undefined) throw new RkfsError('failed', channel.failure)
    const done = channel.appliedIndex > 0 && self !== undefined && self.state === self.role
    if (done) return
    progress(
      host.fetching ?? { what: 'catching up', done: channel.appliedIndex, total: channel.commitIndex, unit: 'entries' },
    )
    await sleep(50)
  }
}
