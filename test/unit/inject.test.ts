// POL-1, secret merge: over generated names and values, arguments gain exactly the secrets that the rule names, and a template is filled
// in one pass. The models know no objects, only lists of pairs, so no name can be special to them.
import { type Inject, neededSecrets } from '@mcp-valet/shared';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { InjectError, injectArguments, injectHeaders } from '../../packages/server/src/connectors/inject.ts';
import { holds } from '../support/holds.ts';

const names = [
  'a',
  'b',
  'token',
  'Token',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'user.id',
  'claims.sub',
  '_x.y-z',
  '0',
];
const name = fc.constantFrom(...names);
const text = fc.oneof(fc.string(), fc.constantFrom('{{a}}', '$&', '{{ token }}', '$1', '{{user.id}}', '}}', '{{'));
const secrets = fc.array(fc.tuple(name, text), { maxLength: 5 }).map((pairs) => new Map(pairs));
const user = fc.option(fc.constant({ id: 'usr_1', username: 'alice' }));
const own = (pairs: readonly [string, unknown][]): Record<string, unknown> => Object.fromEntries(pairs);
const sorted = (value: object): string => JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));

describe('injectArguments over generated secrets', () => {
  it('adds every secret but the mirrored ones, keeps every other argument, and changes no prototype', () => {
    const args = fc.array(fc.tuple(name, fc.jsonValue({ maxDepth: 1 })), { maxLength: 5 }).map(own);
    holds(
      fc.property(
        args,
        secrets,
        fc.uniqueArray(name, { maxLength: 3 }),
        fc.constantFrom<Inject | null>(null, { args: 'all' }, { headers: {} }),
        (given, held, mirrored, rule) => {
          const before = sorted(given);
          const merged = injectArguments(given, rule, held, null, new Set(mirrored));
          const isAll = rule === null || rule.args === 'all';
          const expected = names.flatMap((key): [string, unknown][] => {
            const secret = isAll && !mirrored.includes(key) ? held.get(key) : undefined;
            if (secret !== undefined) return [[key, secret]];
            return Object.hasOwn(given, key) ? [[key, Object.getOwnPropertyDescriptor(given, key)?.value]] : [];
          });
          return (
            sorted(merged) === sorted(own(expected)) &&
            sorted(given) === before &&
            Object.getPrototypeOf(merged) === Object.prototype
          );
        },
      ),
      10_000,
    );
  });
});

describe('a template over generated values', () => {
  type Piece = { text: string } | { slot: string };
  const piece: fc.Arbitrary<Piece> = fc.oneof(
    fc.record({ text: fc.string().filter((s) => !/[{}]/.test(s)) }),
    fc.record({ slot: fc.constantFrom(...names.filter((n) => n !== '0'), 'user.username', 'user.email') }),
  );

  it('holds the values of its slots and nothing else, or names what is missing', () => {
    holds(
      fc.property(fc.array(piece, { maxLength: 6 }), secrets, user, (pieces, held, who) => {
        const template = pieces.map((p) => ('slot' in p ? `{{${p.slot}}}` : p.text)).join('');
        const inject: Inject = { headers: { 'x-t': template } };
        const filledWith = (slot: string): string | undefined => {
          if (slot === 'user.id') return who?.id;
          if (slot === 'user.username') return who?.username;
          return /^(user|claims)\./.test(slot) ? undefined : held.get(slot);
        };
        const slots = pieces.flatMap((p) => ('slot' in p ? [p.slot] : []));
        const missing = slots.find((slot) => filledWith(slot) === undefined);
        const isNeeded = slots
          .filter((slot) => !/^(user|claims)\./.test(slot))
          .every((slot) => neededSecrets(inject).includes(slot));
        try {
          const filled = injectHeaders(inject, held, who)['x-t'];
          return (
            isNeeded &&
            missing === undefined &&
            filled === pieces.map((p) => ('slot' in p ? filledWith(p.slot) : p.text)).join('')
          );
        } catch (error) {
          return isNeeded && error instanceof InjectError && error.missing === missing;
        }
      }),
      10_000,
    );
  });
});
