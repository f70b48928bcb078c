import type { Test } from 'tap'
import type { Operation } from '../../../src/fs/operation.js'
import { rootInode } from '../../../src/fs/records.js'
import { checkKernelCache } from '../../sim/checkers/kernel-cache.js'
import { Kernel, type Answer } from '../../sim/kernel.js'
import type { Cluster, Member } from './cluster.js'

/** Of names in the root. */
export const rename = (name: string, newName: string): Operation => ({
  kind: 'rename',
  parent: rootInode,
  name,
  newParent: rootInode,
  newName,
  flags: 0,
})

/** A program's calls, and what its kernel keeps. */
export class Mount {
  readonly kernel: Kernel
  readonly #cluster: Cluster
  readonly #member: Member

  constructor(cluster: Cluster, member: Member) {
    this.#cluster = cluster
    this.#member = member
    this.kernel = new Kernel(member.frontend, cluster.clock)
  }

  /** Makes a call and lets time pass until it is answered. */
  call<T>(call: (answer: Answer<T>) => void): { errno: number; value: T | undefined } {
    let answered: { errno: number; value: T | undefined } | undefined
    call((errno, value) => (answered = { errno, value }))
    this.#cluster.until('the answer to a call', () => answered !== undefined)
    return answered!
  }

  create(name: string): { ino: number; handle: number } {
    const { entry, file } = this.call<Parameters<Parameters<Kernel['create']>[3]>[1]>(answer =>
      this.kernel.create(rootInode, name, 2, answer),
    ).value!
    return { ino: entry.attributes.ino, handle: file.handle }
  }

  /** The inode a name leads to. */
  lookup(name: string): number | undefined {
    return this.call<Parameters<Parameters<Kernel['lookup']>[2]>[1]>(answer =>
      this.kernel.lookup(rootInode, name, answer),
    ).value?.attributes?.ino
  }

  check(test: Test, message: string): void {
    test.doesNotThrow(() => checkKernelCache(this.#member, this.kernel), message)
  }
}
