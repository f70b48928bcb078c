/** The two kinds of lock, which do not see each other (flock(2), NOTES): byte ranges of fcntl(2), and flock(2). */
export type LockSpace = 'posix' | 'flock'
export type LockType = 'read' | 'write'

/** `end` of a range that goes to the end of the file, however it grows. Ends are inclusive. */
export const endOfFile = Number.MAX_SAFE_INTEGER

/** Whose lock on what: `owner` is a process's table of files, or an open file description. */
export interface LockPlace {
  readonly space: LockSpace
  readonly ino: number
  readonly owner: string
}

export interface Range {
  readonly start: number
  readonly end: number
}

/** A lock, held or wanted. One of flock(2) is the whole range. */
export interface Lock extends LockPlace, Range {
  readonly type: LockType
  /** The process that asked, on its own member. */
  readonly pid: number
}

/** A held range of one owner. */
export interface Segment extends Range {
  readonly type: LockType
  readonly pid: number
}

export function overlap(a: Range, b: Range): boolean {
  return a.start <= b.end && b.start <= a.end
}

/** The file and the kind: locks of different ones never meet. */
export function fileKey({ space, ino }: { readonly space: LockSpace; readonly ino: number }): string {
  return `${space}/${ino}`
}

/** Whose lock on what. */
export function placeKey(place: LockPlace): string {
  return `${fileKey(place)}/${place.owner}`
}
