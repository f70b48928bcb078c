import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { createAuthority, createSigningRequest, issueCertificate } from '../../src/adapters/pki/authority.js'
import { memberIdOfKey } from '../../src/adapters/pki/member-id.js'
import { RkfsError } from '../../src/base/errors.js'
import type { Descriptor, Member } from '../../src/channel/descriptor.js'
import { AddressBook, withEntry, type AddressBookHost } from '../../src/daemon/address-book.js'
import { silentLog } from '../../src/daemon/log.js'
import { Redirections } from '../../src/daemon/redirections.js'

const member = (id: string, name: string, slot: number, address = `${name}.example.org:7400`): Member => ({
  id,
  name,
  address,
  role: 'voter',
  state: 'voter',
  slot,
  certificate: '',
})
const [ownerId, betaId, gammaId] = ['a', 'b', 'c'].map(d => d.repeat(16)) as [string, string, string]
const demo: Descriptor = {
  name: 'demo',
  id: '00112233445566aa',
  owner: ownerId,
  version: 7,
  nextSlot: 4,
  members: [member(ownerId, 'alpha', 1), member(betaId, 'beta', 2), member(gammaId, 'gamma', 3)],
}
const authority = await createAuthority('demo')
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const request = await createSigningRequest(privateKey, 'alpha')
const certificatePem = await issueCertificate(authority, request, memberIdOfKey(privateKey), 'alpha')

/** Waits for a condition, for five seconds at most. */
async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await new Promise(resolve => setTimeout(resolve, 10))
  t.ok(holds(), what)
}

class FakeHost implements AddressBookHost {
  readonly log = silentLog
  readonly identity
  readonly notes: string[] = []
  descriptor = demo
  connectedTo: string[] = []
  failures = 0
  readonly channel: AddressBookHost['channel']
  readonly transport = { connected: (id: string) => this.connectedTo.includes(id) }

  constructor(memberId: string) {
    this.identity = { memberId, certificatePem }
    const current = (): Descriptor => this.descriptor
    this.channel = {
      get descriptor() {
        return current()
      },
      note: (to, topic, body) => this.notes.push(`${to} ${topic} ${body}`) > 0,
    }
  }

  async changeMembers(change: (descriptor: Descriptor) => Descriptor | undefined): Promise<void> {
    if (this.failures-- > 0) throw new RkfsError('no-quorum', 'no majority')
    this.descriptor = change(this.descriptor) ?? this.descriptor
  }
}

t.test('what an entry may become', async t => {
  const address = (next: string): string | undefined =>
    withEntry(demo, betaId, { address: next })?.members.find(m => m.id === betaId)?.address
  t.equal(address('192.0.2.7:7401'), '192.0.2.7:7401')
  t.equal(address('beta.example.org:7400'), undefined, 'the same')
  t.equal(address('0.0.0.0:7400'), undefined, 'a wildcard')
  t.equal(address('127.0.0.1:7400'), undefined, 'loopback in place of a network address')
  const local = { ...demo, members: [member(ownerId, 'alpha', 1, '127.0.0.1:7400')] }
  t.equal(withEntry(local, ownerId, { address: '127.0.0.1:7500' })?.members[0]?.address, '127.0.0.1:7500')
  t.equal(withEntry(demo, betaId, { name: 'gamma' })?.members[1]?.name, 'gamma-2', 'names stay unique')
  const second = withEntry(demo, betaId, { name: 'gamma' })!
  t.equal(withEntry(second, betaId, { name: 'gamma' }), undefined, 'and a numbered one is kept')
  t.equal(withEntry(demo, 'd'.repeat(16), { address: 'x:1' }), undefined, 'no member')
  t.equal(second.version, 8)
})

t.test('the owner changes its own entry, and tries again until it succeeds', async t => {
  const host = new FakeHost(ownerId)
  host.failures = 2
  const book = new AddressBook(host, { address: '192.0.2.1:7400', name: undefined }, 10)
  book.start()
  await until('changed', () => host.descriptor.members[0]!.address === '192.0.2.1:7400')
  t.equal(host.descriptor.members[0]!.name, 'alpha')
  t.ok(host.descriptor.members[0]!.certificate.length > 100, 'its certificate, too')
  book.close()
})

t.test('a member tells the owner until the descriptor says it', async t => {
  const host = new FakeHost(betaId)
  const book = new AddressBook(host, { address: '192.0.2.2:7400', name: 'bee' }, 10)
  book.start()
  t.same(host.notes, [], 'not connected')
  host.connectedTo = [ownerId]
  await until('told twice', () => host.notes.length > 1)
  t.equal(host.notes[0], `${ownerId} address {"address":"192.0.2.2:7400","name":"bee"}`)
  host.descriptor = withEntry(demo, betaId, { address: '192.0.2.2:7400', name: 'bee' })!
  const count = host.notes.length
  await new Promise(resolve => setTimeout(resolve, 50))
  t.equal(host.notes.length, count)
  book.close()
})

t.test('the owner takes what a member says about itself, and nothing else', async t => {
  const host = new FakeHost(ownerId)
  const book = new AddressBook(host, { address: 'alpha.example.org:7400', name: undefined }, 10)
  book.start()
  for (const body of [
    'null',
    '{',
    '{}',
    '{"address":"x"}',
    '{"address":"h:0"}',
    '{"address":"h:1","name":"a b"}',
    '7',
  ]) {
    book.note(betaId, 'address', body)
  }
  book.note('d'.repeat(16), 'address', '{"address":"h:1"}')
  book.note(betaId, 'verify', '{"address":"h:1"}')
  book.note(gammaId, 'address', '{"address":"192.0.2.3:7400"}')
  await until('changed', () => host.descriptor.members[2]!.address === '192.0.2.3:7400')
  t.equal(host.descriptor.members[1], demo.members[1])
  book.close()
  const other = new FakeHost(betaId)
  new AddressBook(other, { address: 'beta.example.org:7400', name: undefined }).note(
    gammaId,
    'address',
    '{"address":"h:1"}',
  )
  t.equal(other.descriptor, demo, 'only the owner does')
})

t.test('what was said here of an address ends with what the members have', async t => {
  const folder = t.testdir()
  const [wrong, right] = ['beta.example.org:7411', 'beta.example.org:7400']
  const told = new Redirections(folder)
  const onDisk = (): unknown => [...new Redirections(folder).all.keys()]
  told.set(betaId, { address: wrong, instead: right })
  told.set(gammaId, { address: wrong, instead: 'gamma.example.org:7400' })
  told.set(betaId, { address: right, instead: right })
  t.same([...told.all.keys()], [gammaId], 'the address that they have takes it back')
  t.same(onDisk(), [gammaId])
  t.notOk(told.prune(demo.members))
  t.ok(told.prune([member(gammaId, 'gamma', 3, wrong)]), 'they have come to have it')
  t.same(onDisk(), [])
})
