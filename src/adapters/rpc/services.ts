import { fromBinary, toBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { MethodDefinition } from '@grpc/grpc-js'

import { EnrollReplySchema, EnrollRequestSchema } from '../../gen/rkfs/v1/enrollment_pb.js'
import {
  SnapshotChunkSchema,
  SnapshotRequestSchema,
  SubscribeRequestSchema,
  type SnapshotChunk,
} from '../../gen/rkfs/v1/peer_pb.js'

/** How one message type becomes bytes and back. */
interface Codec<T> {
  serialize(value: T): Buffer
  deserialize(bytes: Buffer): T
}

function codec<S extends DescMessage>(schema: S): Codec<MessageShape<S>> {
  return {
    serialize(value) {
      const bytes = toBinary(schema, value)
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    },
    deserialize: bytes => fromBinary(schema, bytes),
  }
}

/** Frames are encoded and decoded by `frame-codec.ts`, which bounds them first. */
const raw: Codec<Buffer> = { serialize: bytes => bytes, deserialize: bytes => bytes }

/** The data of a chunk is copied once, into memory that is not zeroed first (COMMIT.md §5). */
const chunks: Codec<SnapshotChunk> = {
  serialize(chunk) {
    const head = toBinary(SnapshotChunkSchema, { ...chunk, data: new Uint8Array() })
    if (chunk.data.length === 0) return Buffer.from(head.buffer, head.byteOffset, head.byteLength)
    const length = new BinaryWriter().tag(3, WireType.LengthDelimited).uint32(chunk.data.length).finish()
    const bytes = Buffer.allocUnsafeSlow(head.length + length.length + chunk.data.length)
    bytes.set(head, 0)
    bytes.set(length, head.length)
    bytes.set(chunk.data, head.length + length.length)
    return bytes
  },
  deserialize: bytes => fromBinary(SnapshotChunkSchema, bytes),
}

function method<Q, R>(path: string, up: boolean, down: boolean, q: Codec<Q>, r: Codec<R>): MethodDefinition<Q, R> {
  return {
    path,
    requestStream: up,
    responseStream: down,
    requestSerialize: value => q.serialize(value),
    requestDeserialize: bytes => q.deserialize(bytes),
    responseSerialize: value => r.serialize(value),
    responseDeserialize: bytes => r.deserialize(bytes),
  }
}

/** The generated services as grpc-js wants them. */
export const peerService = {
  subscribe: method('/rkfs.v1.Peer/Subscribe', true, true, codec(SubscribeRequestSchema), raw),
  fetchSnapshot: method('/rkfs.v1.Peer/FetchSnapshot', false, true, codec(SnapshotRequestSchema), chunks),
}

export const enrollmentService = {
  enroll: method('/rkfs.v1.Enrollment/Enroll', false, false, codec(EnrollRequestSchema), codec(EnrollReplySchema)),
}
