/** A member of a channel: 16 lower-case hexadecimal digits, the first 8 bytes of SHA-256 over its public key (SPKI). */
export type MemberId = string

export function isMemberId(text: string): boolean {
  return /^[0-9a-f]{16}$/.test(text)
}

/** A channel's name: what users type. Letters, digits, `.`, `_`, `-`; 1 to 64 of them; starts with a letter or digit. */
export function isChannelName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)
}
