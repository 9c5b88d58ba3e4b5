// Brings everything that lies under the master key under the next one while gateways serve, one small transaction at a time.
//
// Guarantee: at every moment each key is wrapped under exactly one version that is not retired. kill -9 anywhere loses at most the batch that was
// not committed; whoever comes next goes on from what the tables say. Nothing can be stored under a retired version: a foreign key refuses it.
// Order: announce the new version; wait until every live process holds it; it wraps what is new; wrap the keyring and the data keys anew in
// batches (unwrap, wrap, unwrap again, compare); when nothing is left and everybody wraps with the new one, retire the old. Each step is an event.
// Failure: a key that does not open stops the rotation before anything of its batch is stored.
import { defaultAccountName, findAccountByName, withinAccount } from '../accounts/store.ts';
import { recordEvent, systemAccount } from '../audit/record.ts';
import type { Keyring } from '../crypto/keyring.ts';
import type { Database } from '../db/client.ts';
import { DatabaseError } from '../db/errors.ts';
import {
  addMasterKey,
  beginRotation,
  countUnder,
  dataKeysUnder,
  freshHolders,
  ownKeysUnder,
  readMasterKeys,
  setMasterKeyState,
  stopSaying,
  storeDataKeys,
  storeKeyCheck,
  storeOwnKey,
} from '../db/master-keys.ts';
import { type Db, installationScope, withScope } from '../db/scope.ts';

export interface RotationParts {
  db: Database;
  keyring: Pick<Keyring, 'wrapping'>;
  /** Data keys per transaction. */
  batch?: number;
}

export type Step =
  /** Nothing to do: one version, and no other key is configured here. */
  | { state: 'idle'; version: number }
  /** Somebody else is at it. */
  | { state: 'busy' }
  | { state: 'announced' | 'switched' | 'retired'; from: number; to: number }
  | { state: 'rewrapped'; from: number; to: number; keys: number }
  /** Processes that do not hold the new key yet, or do not know yet that it is in use; or keys that others have locked. */
  | {
      state: 'waiting';
      from: number;
      to: number;
      replicas: readonly string[];
      why: 'not_held' | 'not_followed' | 'locked';
    };

const defaultBatch = 500;

export interface Rotation {
  /** One transaction's worth. */
  step(): Promise<Step>;
}

type Keys = Awaited<ReturnType<typeof readMasterKeys>>;

export function createRotation(parts: RotationParts): Rotation {
  const { db, keyring, batch = defaultBatch } = parts;
  const { wrapping } = keyring;
  /** How far this pass over the data keys has come. */
  let after = '';

  const announce = async (tx: Db, keys: Keys, current: number): Promise<Step> => {
    const keyId = wrapping.keyIds.find((id) => !keys.some((key) => key.keyId === id));
    if (keyId === undefined) return { state: 'idle', version: current };
    const version = Math.max(...keys.map((key) => key.version)) + 1;
    await addMasterKey(tx, { version, keyId, state: 'next', keyCheck: await wrapping.makeCheck(keyId) });
    return told(tx, { state: 'announced', from: current, to: version });
  };

  const switchTo = async (tx: Db, from: number, next: Keys[number]): Promise<Step> => {
    if (!wrapping.holds(next)) return { state: 'idle', version: from };
    // From here to the commit nobody can start without the new key.
    await stopSaying(tx);
    const lacking = (await freshHolders(tx)).filter(({ keyIds }) => !keyIds.includes(next.keyId));
    const to = next.version;
    if (lacking.length > 0)
      return { state: 'waiting', from, to, why: 'not_held', replicas: lacking.map(({ replica }) => replica) };
    await setMasterKeyState(tx, from, 'old');
    await setMasterKeyState(tx, to, 'current');
    return told(tx, { state: 'switched', from, to });
  };

  const rewrap = async (tx: Db, from: number, to: Keys[number]): Promise<Step> => {
    const moved = { state: 'rewrapped', from, to: to.version } as const;
    const own = await ownKeysUnder(tx, from);
    for (const key of own)
      await storeOwnKey(tx, { ...key, kekVersion: to.version, wrapped: await wrapping.rewrapOwn(key, to.version) });
    if (own.length > 0) {
      await storeKeyCheck(tx, to.keyCheck as Uint8Array);
      return { ...moved, keys: own.length };
    }
    const rows = await dataKeysUnder(tx, from, after, batch);
    const wrapped: { id: string; wrapped: Buffer }[] = [];
    for (const row of rows) wrapped.push({ id: row.id, wrapped: await wrapping.rewrapDataKey(row, to.version) });
    if (wrapped.length > 0) {
      await storeDataKeys(tx, from, to.version, wrapped);
      after = rows.at(-1)?.id ?? '';
      return { ...moved, keys: wrapped.length };
    }
    const isPassOver = after !== '';
    after = '';
    const left = (await countUnder(tx)).get(from) ?? 0;
    if (left > 0) return isPassOver ? { ...moved, keys: 0 } : waiting(from, to.version, 'locked');
    return retire(tx, from, to.version);
  };

  const retire = async (tx: Db, from: number, to: number): Promise<Step> => {
    const behind = (await freshHolders(tx)).filter(({ wrapsWith }) => wrapsWith !== to);
    if (behind.length > 0)
      return waiting(
        from,
        to,
        'not_followed',
        behind.map(({ replica }) => replica),
      );
    await setMasterKeyState(tx, from, 'retired');
    return told(tx, { state: 'retired', from, to });
  };

  const once = async (tx: Db): Promise<Step> => {
    if (!(await beginRotation(tx))) return { state: 'busy' };
    const keys = await readMasterKeys(tx);
    wrapping.follow(keys);
    const find = (state: string) => keys.find((key) => key.state === state);
    const [current, next, old] = [find('current'), find('next'), find('old')];
    if (current === undefined) throw new Error('no version of the master key is in use');
    if (old !== undefined) return rewrap(tx, old.version, current);
    return next === undefined ? announce(tx, keys, current.version) : switchTo(tx, current.version, next);
  };

  return {
    async step() {
      try {
        return await withScope(db, installationScope, once);
      } catch (error) {
        // A key was stored under the old version while it was to be retired: another round.
        if (error instanceof DatabaseError && error.code === '23503') return waiting(0, 0, 'locked');
        throw error;
      }
    },
  };
}

const waiting = (from: number, to: number, why: 'not_followed' | 'locked', replicas: string[] = []): Step => ({
  state: 'waiting',
  from,
  to,
  why,
  replicas,
});

/** The event of a step, in its transaction: in the operator's account, where there is one by now. */
async function told<S extends Extract<Step, { from: number }>>(tx: Db, step: S): Promise<S> {
  const account = (await findAccountByName(tx, defaultAccountName))?.id ?? systemAccount;
  const details = { from_version: step.from, to_version: step.to };
  await withinAccount(tx, account, '*', () =>
    recordEvent(tx, {
      accountId: account,
      actor: null,
      action: `master_key.${step.state}`,
      outcome: 'ok',
      target: `v${step.to}`,
      details,
    }),
  );
  return step;
}
