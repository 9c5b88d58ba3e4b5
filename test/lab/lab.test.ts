// The column of the lab that is ours, measured by the same code as the others', and what the client's README says of it.
import { beforeAll, describe, expect, it } from 'vitest';
import { tableAfter } from '../docs/markdown.ts';
import { read } from '../repo/workspace.ts';
import { rows } from './rows.ts';
import { ours } from './subjects.ts';
import { bundledSize, column } from './table.ts';

const shown = tableAfter(read('packages/client/README.md'), '## How it compares');
let measured: string[];
beforeAll(async () => {
  measured = await column({ ...ours, patienceMs: 30_000 });
}, 60_000);

describe('before a misbehaving server, the SDK', () => {
  const lostOrFound = '1 try: OutcomeUnknownError; if the server honours keys: 3 tries, same key: OutcomeUnknownError';
  const promised: Record<string, string> = {
    'POST answered 500': lostOrFound,
    'POST, connection reset': lostOrFound,
    'POST, no answer (timeout 0.6 s where there is one)': lostOrFound,
    'POST, the body stops half-way': lostOrFound,
    '429, `Retry-After: 90`': '1 try: RateLimitError, `retryAfterMs`',
    '429, `Retry-After: garbage`': 'backs off',
    'after a 429, holds the queue of the user': 'yes, of that user only',
    'abort while it waits to retry': 'at once',
    'shows the key: `console.log(client)` / errors': 'no / no',
    'debug log shows of body, query, own header, key': 'nothing',
    'id `..` in a path': 'refused',
    'an object per user \\*': '`client.forUser(id)`',
    '"connect your account" as data \\*': '`CredentialRequiredError`, `connectUrl`',
  };

  it('does in every row what its design promises', () => {
    expect(Object.fromEntries(rows.map(({ name }, at) => [name, measured[at]]))).toEqual(promised);
  });

  it('does what the README says of it', () => {
    expect(shown.slice(0, -1).map(([name, own]) => [name, own])).toEqual(Object.entries(promised));
  });
});

it('weighs what the README says, within two kilobytes, and installs nothing else', async () => {
  const [name, own = ''] = shown.at(-1) ?? [];
  expect(name).toBe('minified + gzip / packages installed / Node');
  const [, size] = /^(\d+) kB \/ 0 \/ 20\.19$/.exec(own) ?? [];
  expect(Math.abs((await bundledSize(ours.package)) - Number(size))).toBeLessThanOrEqual(2);
});
