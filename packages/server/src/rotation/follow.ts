// Keeps a running gateway in step with the master key: says every few seconds which keys it holds, and takes over which version is in use.
//
// Guarantee: no version takes over while a live gateway does not hold it, and a gateway that does not hold what is in use does not start, or is
// not ready. With the embedded database, which nobody else can open, a gateway that holds two keys also does the rotation, in small batches.
// Failure: the database being away is told once a minute; the keys that are held go on opening what they opened.
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Keyring } from '../crypto/keyring.ts';
import type { Database } from '../db/client.ts';
import { forgetHolder, sayHeld } from '../db/master-keys.ts';
import { installationScope, withScope } from '../db/scope.ts';
import { createRotation, type Step } from './rotate.ts';

const everyMs = 5_000;
/** While two keys are held something is about to change. */
const busyEveryMs = 1_000;
const warnEveryMs = 60_000;
/** A batch holds up everybody on the embedded database. */
const embeddedBatch = 50;

export interface KeyFollower {
  close(): Promise<void>;
}

export interface FollowParts {
  db: Database;
  keyring: Pick<Keyring, 'wrapping'>;
}

/** Says it for the first time. Throws MasterKeyError when another version is in use by now: then nothing may be served. */
export async function holdMasterKeys({ db, keyring }: FollowParts): Promise<string> {
  const replica = randomUUID();
  await say({ db, keyring }, replica);
  return replica;
}

async function say({ db, keyring: { wrapping } }: FollowParts, replica: string): Promise<void> {
  const isEmbedded = db.kind === 'pglite';
  const held = { replica, keyIds: [...wrapping.keyIds], wrapsWith: wrapping.version };
  const rows = await withScope(db, installationScope, (tx) => sayHeld(tx, held, isEmbedded));
  const before = wrapping.version;
  wrapping.follow(rows);
  // Others wait for this one to wrap with the new version.
  if (wrapping.version !== before) await say({ db, keyring: { wrapping } }, replica);
}

export function followMasterKeys(parts: FollowParts & { log: Logger; replica: string }): KeyFollower {
  const { db, keyring, log, replica } = parts;
  const isRotating = db.kind === 'pglite' && keyring.wrapping.keyIds.length > 1;
  const rotation = createRotation({ db, keyring, batch: embeddedBatch });
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  let running: Promise<void> = Promise.resolve();
  let warnedAt = Number.NEGATIVE_INFINITY;

  const rotate = async (): Promise<void> => {
    for (let step: Step = { state: 'busy' }; !isClosed; ) {
      step = await rotation.step();
      if (step.state === 'busy' || step.state === 'idle' || step.state === 'waiting') return;
      if (step.state !== 'rewrapped') log.info({ ...step }, 'master_key_rotation');
      // Calls first.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };

  const look = async (): Promise<void> => {
    try {
      await say(parts, replica);
      if (isRotating) await rotate();
    } catch (error) {
      if (Date.now() - warnedAt < warnEveryMs) return;
      warnedAt = Date.now();
      const name = error instanceof Error ? error.name : typeof error;
      log.error(
        { name, ...(name === 'MasterKeyError' && { why: (error as Error).message }) },
        'master_key_not_followed',
      );
    }
  };

  const plan = (delayMs: number): void => {
    if (isClosed) return;
    timer = setTimeout(() => {
      running = look().finally(() => plan(keyring.wrapping.keyIds.length > 1 ? busyEveryMs : everyMs));
    }, delayMs);
    timer.unref();
  };
  plan(isRotating ? 0 : everyMs);

  return {
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await running;
      // A row that stays would keep a rotation waiting for its 20 seconds; no more than that.
      await withScope(db, installationScope, (tx) => forgetHolder(tx, replica)).catch((error: unknown) =>
        log.debug({ name: error instanceof Error ? error.name : typeof error }, 'master_key_holder_stays'),
      );
    },
  };
}
