// What a checkpoint says and how it is written down in bytes: leaves, root, the signed body, the link to the one before. Pure: no I/O, no clock.
//
// Guarantee: every column of a row is in its leaf and every field of a checkpoint is in its body, each behind its length, so that no two
// different rows or checkpoints give the same bytes. Formats carry a version and are never edited: what they sealed must stay verifiable.
import { createHash } from 'node:crypto';
import type { Checkpoint } from '@mcp-valet/shared';
import type { CheckpointRow } from '../db/checkpoints.ts';

/** `outcome` is the whole row of a call once it ended; `intent` what was known before it was sent. In the order in which leaves stand. */
export const leafKinds = ['event', 'intent', 'outcome'] as const;
export type LeafKind = (typeof leafKinds)[number];

export interface Leaf {
  kind: LeafKind;
  seq: number;
  /** SHA-256. */
  hash: Buffer;
}

/** What retention deleted, in the words of the closing checkpoint. */
export interface Closing {
  /** The last checkpoint whose rows may be gone. */
  through: number;
  /** Its link: it stands for all before it. */
  hash: string;
  /** Its h1: rows below may be gone. */
  floor: string;
}

export const checkpointFormat = 1;
/** What the first checkpoint has for a link. */
export const noPrevious = Buffer.alloc(32);

const leafLabels = { event: 'mcpv/event/1', intent: 'mcpv/intent/1', outcome: 'mcpv/outcome/1' } as const;
const entryBytes = 41;
const nothing = 0xffff_ffff;

/** Each item as a 4-byte big-endian length and its UTF-8 bytes; null has a length that no text has. */
function encode(items: readonly (string | null)[]): Buffer {
  const total = items.reduce((sum, item) => sum + 4 + (item === null ? 0 : Buffer.byteLength(item)), 0);
  const bytes = Buffer.allocUnsafe(total);
  let at = 0;
  for (const item of items) {
    const length = item === null ? 0 : bytes.write(item, at + 4, 'utf8');
    bytes.writeUInt32BE(item === null ? nothing : length, at);
    at += 4 + length;
  }
  return bytes;
}

const sha256 = (...parts: Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** `columns` as text, in the order of `db/trail`. */
export function leafOf(kind: LeafKind, columns: readonly (string | null)[]): Buffer {
  return sha256(encode([leafLabels[kind], ...columns]));
}

export function encodeLeaves(leaves: readonly Leaf[]): Buffer {
  const bytes = Buffer.allocUnsafe(leaves.length * entryBytes);
  leaves.forEach(({ kind, seq, hash }, i) => {
    bytes.writeUInt8(leafKinds.indexOf(kind), i * entryBytes);
    bytes.writeBigUInt64BE(BigInt(seq), i * entryBytes + 1);
    hash.copy(bytes, i * entryBytes + 9);
  });
  return bytes;
}

/** Undefined when these bytes are no list of leaves. */
export function decodeLeaves(bytes: Buffer): Leaf[] | undefined {
  if (bytes.length % entryBytes !== 0) return undefined;
  const leaves: Leaf[] = [];
  for (let at = 0; at < bytes.length; at += entryBytes) {
    const kind = leafKinds[bytes.readUInt8(at)];
    if (kind === undefined) return undefined;
    leaves.push({
      kind,
      seq: Number(bytes.readBigUInt64BE(at + 1)),
      hash: bytes.subarray(at + 9, at + entryBytes),
    });
  }
  return leaves;
}

export const rootOf = (leaves: Uint8Array): Buffer => sha256(Buffer.from('mcpv/root/1'), leaves);

/** What is signed. The installation is in it: a chain of another one does not fit. */
export function bodyOf(installationId: string, row: Omit<CheckpointRow, 'signature'>): Buffer {
  const text = (value: number | null) => (value === null ? null : String(value));
  return encode([
    'mcpv/checkpoint/1',
    installationId,
    String(row.format),
    String(row.id),
    String(row.segment),
    row.h0,
    row.h1,
    String(row.count),
    text(row.firstSeq),
    text(row.lastSeq),
    row.root.toString('hex'),
    row.previous.toString('hex'),
    row.closing,
    row.at,
  ]);
}

/** The link to a checkpoint, in the one after it. */
export const linkOf = (installationId: string, row: CheckpointRow): Buffer =>
  sha256(bodyOf(installationId, row), row.signature);

/** Undefined when it is none: then nothing may be missing. */
export function readClosing(text: string | null): Closing | undefined {
  if (text === null) return undefined;
  const { through, hash, floor } = JSON.parse(text) as Partial<Closing>;
  const fits = Number.isSafeInteger(through) && /^[0-9a-f]{64}$/.test(hash ?? '') && /^\d{1,20}$/.test(floor ?? '');
  return fits ? { through: through as number, hash: hash as string, floor: floor as string } : undefined;
}

/** As people, logs and outside copies have it. */
export function shownCheckpoint(row: CheckpointRow): Checkpoint {
  return {
    checkpointId: row.id,
    segment: row.segment,
    at: new Date(Number(row.at)).toISOString(),
    h0: row.h0,
    h1: row.h1,
    count: row.count,
    firstSeq: row.firstSeq,
    lastSeq: row.lastSeq,
    root: row.root.toString('hex'),
    previous: row.previous.toString('hex'),
    signature: row.signature.toString('hex'),
    closing: row.closing !== null,
  };
}
