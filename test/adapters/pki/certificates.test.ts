import { createPrivateKey, X509Certificate } from 'node:crypto'
import { chmod, mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import t from 'tap'

import {
  createAuthority,
  createSigningRequest,
  issueCertificate,
  openSigningRequest,
} from '../../../src/adapters/pki/authority.js'
import { CspHome } from '../../../src/adapters/pki/csp-home.js'
import { verifyMemberCertificate } from '../../../src/adapters/pki/verify.js'
import { generateKeyPem } from '../../../src/adapters/pki/web-crypto.js'
import { memberIdOfKey } from '../../../src/adapters/pki/member-id.js'

const day = 86_400_000
const der = (pem: string): Uint8Array => new X509Certificate(pem).raw

t.test('a certificate that was asked for and issued', async t => {
  const authority = await createAuthority('demo')
  const key = createPrivateKey(await generateKeyPem())
  const id = memberIdOfKey(key)
  const request = await createSigningRequest(key, 'Zoë, CN=x')
  t.equal((await openSigningRequest(request)).memberId, id)
  const pem = await issueCertificate(authority, request, id, 'Zoë, CN=x')
  const now = Date.now()
  const seen = verifyMemberCertificate(der(pem), der(authority.caPem), authority.channelId, now)
  t.equal(seen.memberId, id)
  t.match(seen.name, /Zo.*CN=x/)
  t.ok(Math.abs(seen.notAfter.getTime() - now - 2 * 365.25 * day) < day)
  t.ok(new Date(new X509Certificate(pem).validFrom).getTime() <= now - 9 * 60_000, 'backdated')
  t.ok(new Date(new X509Certificate(authority.caPem).validTo).getTime() > now + 19.9 * 365.25 * day)
  t.match(new X509Certificate(pem).subjectAltName, `DNS:${id}.${authority.channelId}.rkfs`)

  const check = (ca: string, channel: string, at: number, what: string | RegExp): void => {
    t.throws(() => verifyMemberCertificate(der(pem), der(ca), channel, at), { code: 'refused', message: what })
  }
  check(authority.caPem, authority.channelId, now + 3 * 366 * day, /expired on \d{4}-/)
  check(authority.caPem, authority.channelId, now - day, /not yet valid/)
  check(authority.caPem, '0123456789abcdef', now, /not of channel 0123456789abcdef/)
  const other = await createAuthority('demo')
  check(other.caPem, other.channelId, now, new RegExp(`member ${id}.*signed by another CA`))
  t.throws(
    () => verifyMemberCertificate(der(authority.caPem), der(authority.caPem), authority.channelId, now),
    /is a CA/,
  )
  t.throws(() => verifyMemberCertificate(Buffer.from('junk'), der(authority.caPem), authority.channelId, now), {
    code: 'refused',
  })
  await t.rejects(issueCertificate(authority, request, '0123456789abcdef', 'x'), { code: 'refused' })
  await t.rejects(issueCertificate(authority, request, id, 'a\nb'), { code: 'usage' })
})

t.test('a certificate whose key is not that of its id', async t => {
  const authority = await createAuthority('demo')
  const one = createPrivateKey(await generateKeyPem())
  const pem = await issueCertificate(authority, await createSigningRequest(one, 'a'), undefined, 'a')
  // The same CA key signs the first one's name for another key: made with the library, as a careless CA would.
  const { x509, keyPairOf, signing } = await import('../../../src/adapters/pki/web-crypto.js')
  const caKeys = await keyPairOf(createPrivateKey(authority.keyPem))
  const two = await keyPairOf(createPrivateKey(await generateKeyPem()))
  const forged = await x509.X509CertificateGenerator.create({
    subject: 'CN=a',
    issuer: new x509.X509Certificate(authority.caPem).subjectName,
    publicKey: two.publicKey,
    signingKey: caKeys.privateKey,
    signingAlgorithm: signing,
    extensions: new x509.X509Certificate(pem).extensions.filter(each => each.type === '2.5.29.17'),
  })
  t.throws(
    () =>
      verifyMemberCertificate(new Uint8Array(forged.rawData), der(authority.caPem), authority.channelId, Date.now()),
    { code: 'refused', message: /SPKI\) does not match/ },
  )
})

t.test('signing requests that were tampered with', async t => {
  const key = createPrivateKey(await generateKeyPem())
  const request = await createSigningRequest(key, 'a')
  for (let i = 0; i < request.length; i++) {
    const bad = Uint8Array.from(request)
    bad[i]! ^= 1
    try {
      // DER has a few bits without a meaning; what is taken is always the key that signed.
      t.equal((await openSigningRequest(bad)).memberId, memberIdOfKey(key))
    } catch (error) {
      if ((error as { code?: string }).code !== 'refused') t.fail(`byte ${i}: ${String(error)}`)
    }
    if (i % 8 === 0) await t.rejects(openSigningRequest(request.subarray(0, i)), { code: 'refused' })
  }
})

t.test('the files of a home', async t => {
  const home = t.testdir()
  const csp = new CspHome(home)
  const node = await csp.nodeKey()
  t.equal((await new CspHome(home).nodeKey()).memberId, node.memberId)
  const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777
  t.equal(await mode(join(home, 'csp/keystore')), 0o700)
  t.equal(await mode(csp.nodeKeyPath), 0o600)
  const now = Date.now()
  t.equal(await csp.identity('demo', now), undefined)
  t.equal(await csp.authority('demo'), undefined)

  const authority = await createAuthority('demo')
  await csp.storeAuthority('demo', authority)
  t.equal(await mode(csp.authorityKeyPath('demo')), 0o600)
  t.equal((await csp.authority('demo'))?.channelId, authority.channelId)
  await t.rejects(csp.identity('demo', now), /signcerts\/demo.pem is missing/)
  const pem = await issueCertificate(authority, await createSigningRequest(node.key, 'a'), node.memberId, 'a')
  await csp.storeMembership('demo', authority.caPem, pem)
  const identity = await csp.identity('demo', now)
  t.equal(identity?.memberId, node.memberId)
  t.equal(identity?.channelId, authority.channelId)
  await t.rejects(csp.identity('demo', now + 3 * 366 * day), /signcerts\/demo.pem: .*expired on/)

  await chmod(csp.nodeKeyPath, 0o644)
  await t.rejects(csp.identity('demo', now), { code: 'refused', message: `chmod 600 ${csp.nodeKeyPath}` })
  await t.rejects(csp.nodeKey(), { code: 'refused' })
  await chmod(csp.nodeKeyPath, 0o600)

  const other = await createAuthority('demo')
  await writeFile(csp.caPath('demo'), other.caPem)
  await t.rejects(csp.identity('demo', now), /was not signed by/)
  await t.rejects(csp.authority('demo'), /key does not match/)
  await writeFile(csp.caPath('demo'), 'nonsense')
  await t.rejects(csp.identity('demo', now), { code: 'corrupt' })
  await writeFile(csp.caPath('demo'), authority.caPem)
  await writeFile(csp.nodeKeyPath, await generateKeyPem())
  await t.rejects(csp.identity('demo', now), /is not the key of/)
  await writeFile(csp.nodeKeyPath, 'nonsense')
  await t.rejects(csp.identity('demo', now), {
    code: 'corrupt',
    message: /node\.pem is damaged: it is not a private key in PEM form: put it back .* ask for a new invitation/,
  })
  await rm(csp.nodeKeyPath)
  await t.rejects(csp.identity('demo', now), /node.pem is missing/)
  await rm(csp.certificatePath('demo'))
  await mkdir(csp.certificatePath('demo'))
  await t.rejects(csp.identity('demo', now), { code: 'failed' })
})
