// AUD-2: whatever a superuser of the database does to sealed rows or to the seals is found, and the first bad row is named as a reference names it
// that compares whole rows and knows no hashes. Only a chain that was cut at its end or made anew with the key needs the copy kept outside.
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bodyOf, encodeLeaves, leafOf, linkOf, rootOf } from '../../packages/server/src/audit/checkpoint.ts';
import type { Verdict } from '../../packages/server/src/audit/verify.ts';
import { checkpointsAfter } from '../../packages/server/src/db/checkpoints.ts';
import { installationScope, withScope } from '../../packages/server/src/db/scope.ts';
import { beginTask, leafColumns, readTrail } from '../../packages/server/src/db/trail.ts';
import { randomFrom } from './support/random.ts';
import { openSealedTrail, type SealedTrail } from './support/sealed-trail.ts';

const seed = Number(process.env.PROOF_SEED ?? 20_261_121);

interface Row {
  table: 'calls' | 'audit_events';
  id: string;
  seq: number;
  xid: string;
  outcomeXid: string | null;
}

/** Where verification must point. `rows`: where the reference points. */
type Expected = 'rows' | { checkpointId: number } | { outside: number };
interface Tampering {
  what: string;
  script: string;
  expected: Expected;
}

const typed = (column: string): string => {
  if (['seq', 'outcome_seq', 'format', 'upstream_status', 'latency_ms'].includes(column)) return 'number';
  if (['xid', 'outcome_xid'].includes(column)) return 'xid';
  if (['at', 'lease_until'].includes(column)) return 'time';
  if (['args_digest', 'outcome_digest'].includes(column)) return 'bytes';
  return column === 'details' ? 'json' : 'text';
};
const required = ['id', 'account_id', 'tool', 'lane', 'request_id', 'action', 'outcome'];

const oneOf = (rows: readonly { id: string }[]) => `(${rows.map(({ id }) => `'${id}'`).join(', ')})`;

describe.each([
  ['pglite', 500],
  ['postgres', 60],
] as const)('a superuser’s changes on %s', (kind, runs) => {
  let trail: SealedTrail;
  let rows: Row[] = [];
  const random = randomFrom(seed);
  beforeAll(async () => {
    trail = await openSealedTrail(kind, { rows: 150, checkpoints: 10 });
    rows = (await trail.superuser(`
      select 'calls' as table, id, seq::int as seq, xid::text as xid, outcome_xid::text as "outcomeXid" from calls
      union all select 'audit_events', id, seq::int, xid::text, null from audit_events order by 1, 3`)) as unknown as Row[];
  });
  afterAll(() => trail?.close());

  const bytes = () => `decode('${randomBytes(32).toString('hex')}', 'hex')`;
  const sealedXid = () => random.pick(trail.checkpoints.filter(({ h0, h1 }) => BigInt(h1) > BigInt(h0))).h0;

  const editRow = (): Tampering => {
    const row = random.pick(rows);
    const columns = leafColumns[row.table].filter(
      (name) => row.outcomeXid !== null || !/^(outcome|reason|upstream|latency)/.test(name),
    );
    const column = random.pick(columns);
    const value = {
      number: `coalesce(${column}, 0) + ${1 + random.below(10_000)}`,
      xid: `(${column}::text::numeric + ${1 + random.below(3)})::text::xid8`,
      time: `${column} + interval '${1 + random.below(1000)} milliseconds'`,
      bytes: bytes(),
      json: `details || '{"added": ${random.below(1000)}}'`,
      text: `case when ${column} is null then '' when ${!required.includes(column)} and ${random.below(2) === 0} then null
        else ${column} || '${random.pick([' ', 'x', '\u200b'])}' end`,
    }[typed(column)];
    return {
      what: `edits ${row.table}.${column}`,
      script: `update ${row.table} set ${column} = ${value} where id = '${row.id}'`,
      expected: 'rows',
    };
  };
  const deleteRows = (): Tampering => {
    const table = random.pick(['calls', 'audit_events'] as const);
    const own = rows.filter((row) => row.table === table);
    const some = Array.from({ length: 1 + random.below(3) }, () => random.pick(own));
    return {
      what: `deletes from ${table}`,
      script: `delete from ${table} where id in ${oneOf(some)}`,
      expected: 'rows',
    };
  };
  const insertRow = (): Tampering => {
    const row = random.pick(rows);
    const later = random.below(2) === 0 ? row.seq : 100_000 + random.below(1000);
    const own = leafColumns[row.table];
    const values = own.map((name) => {
      if (name === 'id') return `'made_${random.below(1e9)}'`;
      if (name === 'seq') return String(later);
      if (name === 'xid') return `'${sealedXid()}'::xid8`;
      return name;
    });
    return {
      what: `inserts into ${row.table}`,
      script: `insert into ${row.table} (${own.join(', ')}) overriding system value select ${values.join(', ')} from ${row.table} where id = '${row.id}'`,
      expected: 'rows',
    };
  };
  const swap = (column: 'seq' | 'xid' | 'at' | 'user_id'): Tampering => {
    const a = random.pick(rows);
    const b = random.pick(rows.filter((row) => row.table === a.table && row.id !== a.id));
    const swapped = `update ${a.table} t set ${column} = o.${column} from (select id, ${column} from ${a.table}) o
      where (t.id, o.id) in (('${a.id}', '${b.id}'), ('${b.id}', '${a.id}'))`;
    return { what: `swaps ${column} of two rows of ${a.table}`, script: swapped, expected: 'rows' };
  };
  const eraseOutcome = (): Tampering => {
    const row = random.pick(rows.filter(({ outcomeXid }) => outcomeXid !== null));
    const none = leafColumns.calls.slice(-7).map((name) => `${name} = null`);
    return {
      what: 'erases an outcome',
      script: `update calls set ${none.join(', ')} where id = '${row.id}'`,
      expected: 'rows',
    };
  };
  const inventOutcome = (): Tampering => {
    const row = random.pick(rows.filter((one) => one.table === 'calls' && one.outcomeXid === null));
    return {
      what: 'invents an outcome',
      script: `update calls set outcome = 'ok', outcome_seq = 1, outcome_xid = '${sealedXid()}' where id = '${row.id}'`,
      expected: 'rows',
    };
  };

  const editCheckpoint = (): Tampering => {
    const { id } = random.pick(trail.checkpoints);
    const [column, value] = random.pick([
      ['segment', 'segment + 1'],
      ['format', 'format + 1'],
      ['h0', `(h0::numeric + 1)::text`],
      ['h1', `(h1::numeric + 1)::text`],
      ['count', 'count + 1'],
      ['first_seq', 'coalesce(first_seq, 0) + 1'],
      ['last_seq', 'coalesce(last_seq, 0) + 1'],
      ['leaves', `leaves || '\\x00'::bytea`],
      ['leaves', `leaves || decode(repeat('00', 41), 'hex')`],
      ['root', bytes()],
      ['previous', bytes()],
      ['signature', bytes()],
      ['closing', `'{"through": ${trail.checkpoints.length}, "hash": "${'0'.repeat(64)}", "floor": "999999"}'`],
      ['at', `at + interval '1 millisecond'`],
    ] as const);
    return {
      what: `edits checkpoints.${column}`,
      script: `update checkpoints set ${column} = ${value} where id = ${id}`,
      expected: { checkpointId: id },
    };
  };
  const deleteCheckpoint = (): Tampering => {
    const { id } = random.pick(trail.checkpoints.slice(0, -1));
    // Without the first, the second is the first that has nothing to stand on.
    return {
      what: 'deletes a checkpoint',
      script: `delete from checkpoints where id = ${id}`,
      expected: { checkpointId: id === 1 ? 2 : id },
    };
  };
  const moveCheckpoint = (): Tampering => {
    const at = random.below(trail.checkpoints.length - 1);
    const a = trail.checkpoints[at]?.id as number;
    const script = `update checkpoints set id = -id where id in (${a}, ${a + 1}); update checkpoints set id = case when id = ${-a} then ${a + 1} else ${a} end where id < 0`;
    return { what: 'swaps two checkpoints', script, expected: { checkpointId: a } };
  };
  const insertCheckpoint = (): Tampering => {
    const last = trail.checkpoints.length;
    return {
      what: 'puts a checkpoint in',
      script: `insert into checkpoints (id, segment, format, h0, h1, count, root, previous, signature, leaves) overriding system value
        select ${last + 1}, segment, format, h1, h1, 0, root, ${bytes()}, signature, '' from checkpoints where id = ${last}`,
      expected: { checkpointId: last + 1 },
    };
  };
  /** The tail of the chain goes, with the rows under it or without. */
  const cutTail = (): Tampering => {
    const keep = random.below(trail.checkpoints.length - 1) + 1;
    const h1 = trail.checkpoints[keep - 1]?.h1;
    const withRows = random.below(2) === 0;
    const script = `delete from checkpoints where id > ${keep};
      ${withRows ? `delete from calls where xid >= '${h1}'; delete from audit_events where xid >= '${h1}';` : ''}`;
    return { what: 'cuts the tail', script, expected: { outside: keep + 1 } };
  };

  const kinds = [
    editRow,
    editRow,
    editRow,
    deleteRows,
    insertRow,
    () => swap('seq'),
    () => swap('xid'),
    () => swap(random.pick(['at', 'user_id'])),
    eraseOutcome,
    inventOutcome,
    editCheckpoint,
    editCheckpoint,
    deleteCheckpoint,
    moveCheckpoint,
    insertCheckpoint,
    cutTail,
  ];

  it(`are found in ${runs} of ${runs} random tamperings, and the first bad row is named`, {
    timeout: 240_000,
  }, async () => {
    const missed: unknown[] = [];
    const seen = new Map<string, number>();
    expect(await trail.verify(trail.copy)).toMatchObject({ ok: true, unsealed: 0 });
    for (let run = 0; run < runs; run++) {
      const tampering = (kinds[run % kinds.length] as () => Tampering)();
      await trail.superuser(tampering.script);
      const expected = tampering.expected === 'rows' ? await trail.difference() : tampering.expected;
      if (expected === undefined) {
        // Nothing changed (two equal values were swapped): not a tampering.
        await trail.restore();
        continue;
      }
      const isOutside = 'outside' in expected;
      const verdict = await trail.verify(isOutside ? trail.copy : undefined);
      const named =
        'table' in expected
          ? expected
          : { table: 'checkpoints', checkpointId: isOutside ? expected.outside : expected.checkpointId };
      if (verdict.ok || !matches(verdict, named))
        missed.push({ run, ...tampering, expected: named, got: verdict.firstBad });
      const kindOf = tampering.what;
      seen.set(kindOf, (seen.get(kindOf) ?? 0) + 1);
      await trail.restore();
    }
    expect(missed, `seed ${seed}`).toEqual([]);
    expect([...seen.values()].reduce((sum, n) => sum + n, 0)).toBeGreaterThan(runs * 0.97);
    expect(await trail.verify(trail.copy)).toMatchObject({ ok: true, unsealed: 0 });
  });
});

/** The chain from `from` on made anew over the rows as they are now, signed with `sign`: what a superuser can write who has that key. */
async function remake(trail: SealedTrail, from: number, sign: (bytes: Uint8Array) => Buffer): Promise<void> {
  const { installationId } = trail.keyring;
  const read = <T>(fn: Parameters<typeof withScope<T>>[2]) =>
    withScope(trail.db, installationScope, async (tx) => {
      await beginTask(tx, 'seal');
      return fn(tx);
    });
  const chain = await read((tx) => checkpointsAfter(tx, 0, 1000));
  const names = ['event', 'intent', 'outcome'] as const;
  let previous = chain[from - 2] && linkOf(installationId, chain[from - 2] as (typeof chain)[number]);
  const hex = (value: Uint8Array) => `decode('${Buffer.from(value).toString('hex')}', 'hex')`;
  for (const old of chain.slice(from - 1)) {
    const rows = await read((tx) => readTrail(tx, old.h0, old.h1));
    const leaves = rows.map((row) => ({
      kind: names[row.kind],
      seq: row.seq,
      hash: leafOf(names[row.kind], row.columns),
    }));
    const list = encodeLeaves(leaves);
    const body = { ...old, count: leaves.length, root: rootOf(list), previous: previous ?? old.previous };
    const row = { ...body, signature: sign(bodyOf(installationId, body)) };
    previous = linkOf(installationId, row);
    await trail.superuser(`update checkpoints set count = ${row.count}, leaves = ${hex(list)}, root = ${hex(row.root)}, previous = ${hex(row.previous)},
      signature = ${hex(row.signature)} where id = ${row.id}`);
  }
}

describe('a chain that is made anew over changed rows', () => {
  let trail: SealedTrail;
  beforeAll(async () => {
    trail = await openSealedTrail('pglite', { rows: 60, checkpoints: 6 });
  });
  afterAll(() => trail?.close());

  const changeARow = async (): Promise<number> => {
    const [row] = await trail.superuser(`update audit_events set actor_key_id = 'key_of_somebody_else'
      where seq = (select max(seq) - 5 from audit_events) returning xid::text as xid`);
    return trail.checkpoints.find(
      ({ h0, h1 }) => BigInt(row?.xid as string) >= BigInt(h0) && BigInt(row?.xid as string) < BigInt(h1),
    )?.id as number;
  };

  it('is found where it begins, when whoever did it lacks the key', async () => {
    const changed = await changeARow();
    await remake(trail, changed, (body) => createHmac('sha256', randomBytes(32)).update(body).digest());
    expect(await trail.verify()).toMatchObject({
      ok: false,
      firstBad: { table: 'checkpoints', checkpointId: changed },
    });
    await remake(trail, changed, (body) => createHash('sha256').update(body).digest());
    expect(await trail.verify()).toMatchObject({
      ok: false,
      firstBad: { table: 'checkpoints', checkpointId: changed },
    });
    await trail.restore();
  });

  it('is found by the copy kept outside, and by nothing else, when the key was theirs', async () => {
    const changed = await changeARow();
    await remake(trail, changed, trail.keyring.signSeal);
    expect(await trail.verify()).toMatchObject({ ok: true, unsealed: 0 });
    expect(await trail.verify(trail.copy)).toMatchObject({
      ok: false,
      firstBad: { table: 'checkpoints', checkpointId: changed, problem: expect.stringContaining('rewritten') },
    });
    await trail.restore();
  });

  it('is found by the copy, when the chain was cut and the gateway itself sealed the changed rows again', async () => {
    const changed = await changeARow();
    await trail.superuser(`delete from checkpoints where id >= ${changed}`);
    await trail.seal();
    expect(await trail.verify()).toMatchObject({ ok: true, unsealed: 0 });
    expect(await trail.verify(trail.copy)).toMatchObject({ ok: false, firstBad: { checkpointId: changed } });
    expect(trail.lines).toContainEqual(expect.objectContaining({ msg: 'checkpoint_chain_was_cut' }));
  });
});

function matches(verdict: Verdict, named: Record<string, unknown>): boolean {
  const bad = verdict.firstBad as unknown as Record<string, unknown> | null;
  return bad !== null && Object.entries(named).every(([name, value]) => bad[name] === value);
}
