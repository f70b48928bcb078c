import { fromBinary, toBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf'
import type { MethodDefinition } from '@grpc/grpc-js'

import { EnrollReplySchema, EnrollRequestSchema } from '../../gen/rkfs/v1/enrollment_pb.js'
import { SnapshotChunkSchema, SnapshotRequestSchema, SubscribeRequestSchema } from '../../gen/rkfs/v1/peer_pb.js'

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
  fetchSnapshot: method(
    '/rkfs.v1.Peer/FetchSnapshot',
    false,
    true,
    codec(SnapshotRequestSchema),
    codec(SnapshotChunkSchema),
  ),
}

export const enrollmentService = {
  enroll: method('/rkfs.v1.Enrollment/Enroll', false, false, codec(EnrollRequestSchema), codec(EnrollReplySchema)),
}
