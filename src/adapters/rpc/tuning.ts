/** Bounds and times of the network; those that other parts share stand in `base/limits.ts`. */
export const protocolVersion = 3

/** The receive window of a client, by stream and connection: what makes bulk fast (COMMIT.md §4). */
export const flowControlWindowBytes = 4 * 1024 * 1024
/** What goes up to a server is small: hello, pings, requests. */
export const requestBytesMax = 64 * 1024
/** Small messages are put into one frame up to this size. */
export const coalescedBytesMax = 64 * 1024
export const coalescedMessagesMax = 256
/** What is on the wire to one peer, as it acknowledges it: a tenth of a second of what the link carries. */
export const linkWindow = {
  initialBytes: 16 * 1024,
  minBytes: 4 * 1024,
  maxBytes: 4 * 1024 * 1024,
  targetMs: 150,
  idleMs: 10_000,
}
/** What is urgent may be on the wire beyond that. */
export const urgentBytesMax = 256 * 1024

const pieceBytesMin = 2 * 1024
/** From this window on a link is not thin: frames go whole. */
export const wideBytes = 256 * 1024

/** Frames that are longer than this go in parts, where the link carries so many bytes within a moment. */
export function pieceBytesOf(windowBytes: number): number {
  if (windowBytes >= wideBytes) return Infinity
  return Math.max(pieceBytesMin, Math.min(64 * 1024, Math.floor(windowBytes / 4)))
}

/** So many bytes are acknowledged at once, fewer after a moment. */
export const acknowledgedBytesMin = 16 * 1024
export const acknowledgeMs = 20

export const pingMs = 1000
/** Pings in a row without a byte from the peer, after which it is gone. */
export const silentPingsMax = 5
/** Another run of a peer's home takes the place of one that was silent for so many pings … */
export const secondRunSilentPings = 3
/** … or, if it was refused before, of one whose connection ended so long ago: that one comes back within two seconds. */
export const secondRunGraceMs = 5000
/** From the connection attempt to the welcome. */
export const connectMs = 10_000
/** From a call's start to its hello. */
export const helloMs = 5000
/** A peer whose outbox does not move for so long is not reading. */
export const stalledMs = 15_000

export const backoffMinMs = 100
export const backoffMaxMs = 2000
/** An attempt that has not succeeded for so long is made anew when the peer shows that it is alive. */
export const staleAttemptMs = 1500
/** A connection that held so long starts again at the shortest backoff. */
export const stableMs = 2000

export const handshakeMs = 10_000
/** Connections whose other end has not proved to be a member; the oldest gives way to the next. */
export const strangersMax = 64
export const strangerMs = 60_000
/** Streams and bytes of a stranger's connection, after which it is cut: an enrollment takes one stream and some KiB. */
export const strangerStreamsMax = 8
export const strangerBytesMax = 64 * 1024
export const strangerStreamsAtOnceMax = 4
/** Handshakes of others than members, and how many at once when it was quiet before. */
export const handshakesPerSecond = 40
export const handshakeBurst = 64
/** What a stranger's failure (a secret that is not known, a cut connection) costs, in handshakes. */
export const failureCost = 4
/** New members that wait while another is admitted. */
export const enrollmentsWaitingMax = 8
export const memberStreamsMax = 32
/** Connections of one member in one channel, of which a sound one has two or three; the oldest gives way to the next. */
export const memberConnectionsMax = 16

export const snapshotsPerMemberMax = 2
/** Chunks of one snapshot handed to gRPC and not yet taken by the socket. */
export const chunksOnWireMax = 4
export const snapshotIdleMs = 60_000
/** A chunk takes so long at most to be taken by the socket: 1 MiB at 64 kbit/s takes 130 s. */
export const snapshotTakenMs = 600_000
export const enrollMs = 30_000
/** For each address of a token. */
export const enrollConnectMs = 5000
