/** The hash functions that pure layers need, passed in so that they import none. */
export interface Hasher {
  /** SHA-256 of the parts one after the other: 32 bytes. */
  sha256(...parts: Uint8Array[]): Uint8Array
  /** CRC-32 (ISO-HDLC, as zlib's), an unsigned 32-bit number; `seed` continues an earlier one. */
  crc32(bytes: Uint8Array, seed?: number): number
}
