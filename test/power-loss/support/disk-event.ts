/** What reached a disk, in the order it came; inodes by number, the root is 1. Names are binary strings. */
export type DiskEvent =
  | {
      readonly kind: 'make'
      readonly parent: number
      readonly name: string
      readonly ino: number
      readonly mode: number
    }
  | { readonly kind: 'link'; readonly parent: number; readonly name: string; readonly ino: number }
  | { readonly kind: 'remove'; readonly parent: number; readonly name: string }
  | {
      readonly kind: 'rename'
      readonly parent: number
      readonly name: string
      readonly newParent: number
      readonly newName: string
    }
  | { readonly kind: 'write'; readonly ino: number; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: 'resize'; readonly ino: number; readonly size: number }
  /** An fsync(2) or fdatasync(2) of a file or a directory ended; it covers the events before the one numbered `through`. */
  | { readonly kind: 'sync'; readonly ino: number; readonly through: number }
  /** Not the disk's: a program said so at this moment. */
  | { readonly kind: 'mark'; readonly text: string }

/** A folder at the root of the recorded disk: each directory made in it is a mark. */
export const marksName = 'marks'
