import './reflect-polyfill.js'

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'

import { Crypto } from '@peculiar/webcrypto'
import * as x509 from '@peculiar/x509'

/** The one provider of web cryptography; `@peculiar/x509` signs with it. */
const provider = new Crypto()
x509.cryptoProvider.set(provider)

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }

/** How everything here is signed. */
export const signing = { name: 'ECDSA', hash: 'SHA-256' }

/** The keys of a certificate's maker, as `@peculiar/x509` takes them. */
export type KeyPair = Parameters<typeof x509.X509CertificateGenerator.createSelfSigned>[0]['keys']

/** Makes an ECDSA P-256 key: PKCS #8, PEM. */
export async function generateKeyPem(): Promise<string> {
  const keys = await provider.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  return x509.PemConverter.encode(await provider.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
}

/** The key pair of a P-256 private key. */
export async function keyPairOf(key: KeyObject): Promise<KeyPair> {
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
  const spki = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })).export({
    type: 'spki',
    format: 'der',
  })
  return {
    privateKey: await provider.subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign']),
    publicKey: await provider.subtle.importKey('spki', spki, algorithm, true, ['verify']),
  }
}

export { x509 }
