/** What the mount leaves to the handler. */
export interface Features {
  /** flock(2) and fcntl(2) locks. */
  readonly locks: boolean
  /** close(2). */
  readonly flush: boolean
}
