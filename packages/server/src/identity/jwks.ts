// Key sets of issuers, fetched from configured addresses through the guarded egress and kept for a while. A token decides nothing here but
// which of the known keys is looked at: it can make this fetch at most once in 30 seconds, and never from an address of its own.
// Guarantee: one fetch at a time per address, 1 MiB, 5 s. A set older than 10 minutes is asked for again before it is used; while its
// address does not answer it serves up to 60 minutes, then nobody is let in on it (503, not 401: it is not the caller's fault).
import { importJWK, type JWK } from 'jose';
import type { Parts } from '../context.ts';
import { Refusal } from '../refusal.ts';

export type VerifyKey = Awaited<ReturnType<typeof importJWK>>;

export interface KeySets {
  /** The key with this id that fits the algorithm; without an id, the only one that fits. Undefined: there is none. */
  find(uri: string, alg: string, kid: string | undefined): Promise<VerifyKey | undefined>;
}

const maxBytes = 1024 * 1024;
const timeoutMs = 5_000;
const pauseMs = 30_000;
const refreshMs = 10 * 60_000;
const lastGoodMs = 60 * 60_000;
const maxKeys = 100;
const maxSets = 1_000;

interface PublicKey {
  kid: string | undefined;
  kty: string;
  crv: string | undefined;
  alg: string | undefined;
  jwk: JWK;
  imported: Map<string, Promise<VerifyKey>>;
}

interface KeySet {
  keys: readonly PublicKey[];
  /** When the keys were fetched; undefined: never yet. */
  goodAt: number | undefined;
  askedAt: number | undefined;
  isLastAskGood: boolean;
  asking: Promise<void> | undefined;
}

/** What a key must be for an algorithm. A shared secret (`oct`) fits none: a set that is public must not hold any. */
const fitting: Readonly<Record<string, (key: PublicKey) => boolean>> = {
  RS256: ({ kty }) => kty === 'RSA',
  PS256: ({ kty }) => kty === 'RSA',
  ES256: ({ kty, crv }) => kty === 'EC' && crv === 'P-256',
  EdDSA: ({ kty, crv }) => kty === 'OKP' && crv === 'Ed25519',
};

function fits(key: PublicKey, alg: string): boolean {
  const isKind = Object.hasOwn(fitting, alg) && fitting[alg]?.(key) === true;
  return isKind && (key.alg === undefined || key.alg === alg || (alg === 'EdDSA' && key.alg === 'Ed25519'));
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** The public signature keys of a document; throws where it is none. */
function readKeys(bytes: Uint8Array): PublicKey[] {
  const document = JSON.parse(Buffer.from(bytes).toString('utf8')) as { keys?: unknown } | null;
  if (document === null || typeof document !== 'object' || !Array.isArray(document.keys)) throw new Error('no key set');
  return document.keys.slice(0, maxKeys).flatMap((value: unknown) => {
    if (value === null || typeof value !== 'object') return [];
    const sent = value as Record<string, unknown>;
    const kty = text(sent['kty']);
    if (kty === undefined || sent['use'] === 'enc') return [];
    // Only what makes a public key: neither private parts nor certificates nor addresses of them are looked at.
    const jwk = Object.fromEntries(
      ['kty', 'crv', 'x', 'y', 'n', 'e'].flatMap((name) =>
        typeof sent[name] === 'string' ? [[name, sent[name]]] : [],
      ),
    ) as JWK;
    return [{ kid: text(sent['kid']), kty, crv: text(sent['crv']), alg: text(sent['alg']), jwk, imported: new Map() }];
  });
}

const unavailable = (): Refusal =>
  new Refusal('UNAVAILABLE', 'The keys of the token’s issuer cannot be read now', {
    retryAfterMs: 5_000,
    reason: 'user_token_keys_unreachable',
  });

export function createKeySets(options: { egress: Pick<Parts['egress'], 'request'>; now: () => number }): KeySets {
  const { egress, now } = options;
  const sets = new Map<string, KeySet>();

  function setOf(uri: string): KeySet {
    const known = sets.get(uri);
    if (known !== undefined) return known;
    if (sets.size >= maxSets) {
      const oldest = sets.keys().next().value;
      if (oldest !== undefined) sets.delete(oldest);
    }
    const set: KeySet = { keys: [], goodAt: undefined, askedAt: undefined, isLastAskGood: false, asking: undefined };
    sets.set(uri, set);
    return set;
  }

  async function fetchInto(set: KeySet, uri: string): Promise<void> {
    try {
      const answer = await egress.request('jwks', uri, {
        method: 'GET',
        headers: { accept: 'application/json' },
        signal: AbortSignal.timeout(timeoutMs),
        maxBytes,
      });
      if (answer.status !== 200) throw new Error('no answer');
      set.keys = readKeys(answer.body);
      set.goodAt = now();
      set.isLastAskGood = true;
    } catch {
      // Whatever it was, the set stays as it was: how long that may go on is decided where it is used.
      set.isLastAskGood = false;
    }
  }

  /** Asks for the set unless that was done less than 30 s ago; whoever comes meanwhile waits for the same answer. */
  async function ask(set: KeySet, uri: string): Promise<void> {
    if (set.asking === undefined) {
      if (set.askedAt !== undefined && now() - set.askedAt < pauseMs) return;
      set.askedAt = now();
      set.asking = fetchInto(set, uri).finally(() => {
        set.asking = undefined;
      });
    }
    await set.asking;
  }

  const ageOf = (set: KeySet): number => (set.goodAt === undefined ? Number.POSITIVE_INFINITY : now() - set.goodAt);

  function pick(set: KeySet, alg: string, kid: string | undefined): PublicKey | undefined {
    const found = set.keys.filter((key) => fits(key, alg) && (kid === undefined || key.kid === kid));
    return found.length === 1 ? found[0] : undefined;
  }

  return {
    async find(uri, alg, kid) {
      const set = setOf(uri);
      if (ageOf(set) >= refreshMs) await ask(set, uri);
      if (ageOf(set) >= lastGoodMs) throw unavailable();
      let key = pick(set, alg, kid);
      if (key === undefined) {
        await ask(set, uri);
        key = pick(set, alg, kid);
        // The key may well be new: who could say so does not answer.
        if (key === undefined && !set.isLastAskGood) throw unavailable();
      }
      if (key === undefined) return undefined;
      const imported = key.imported.get(alg) ?? importJWK(key.jwk, alg);
      key.imported.set(alg, imported);
      try {
        return await imported;
      } catch {
        // What the issuer publishes there is no key.
        return undefined;
      }
    },
  };
}
