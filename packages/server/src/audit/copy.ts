// Reads what was kept of the chain outside of the database: the checkpoint file, saved log lines, or lines of `GET /api/audit/checkpoints`.
// Pure. A copy is believed where it speaks; where it is silent nothing is compared.
import type { OutsideCopy } from './verify.ts';

/** The copy cannot be compared with anything. */
export class CopyError extends Error {
  override readonly name = 'CopyError';
}

interface Line {
  checkpointId?: unknown;
  signature?: unknown;
  checkpoint?: Line;
}

/** A JSON object per line; other lines of a log are passed over. Throws CopyError when there is no checkpoint, or one number twice. */
export function readCopy(text: string): OutsideCopy {
  const copy = new Map<number, string>();
  for (const line of text.split('\n')) {
    const found = checkpointIn(line);
    if (found === undefined) continue;
    const [id, signature] = found;
    if ((copy.get(id) ?? signature) !== signature)
      throw new CopyError(`The copy holds two different checkpoints with the number ${id}`);
    copy.set(id, signature);
  }
  if (copy.size === 0) throw new CopyError('The copy holds no checkpoint');
  return copy;
}

function checkpointIn(line: string): [number, string] | undefined {
  if (!line.includes('"checkpointId"')) return undefined;
  let parsed: Line;
  try {
    parsed = JSON.parse(line) as Line;
  } catch (error) {
    // The last line of a file that is being written may be half a line.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  const { checkpointId: id, signature } = parsed.checkpoint ?? parsed;
  return typeof id === 'number' && typeof signature === 'string' ? [id, signature.toLowerCase()] : undefined;
}
