// What a log line may hold: no token, no text of an error that may quote what was sent.
import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { mintToken, tokenKinds } from './crypto/token.ts';
import { newId } from './ids.ts';
import { createLog, createLogNames } from './log.ts';

function logOf(logLevel: 'debug' | 'silent' = 'debug') {
  const lines: string[] = [];
  const log = createLog({ logLevel }, { write: (line) => lines.push(line) });
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown> };
}

describe('a line', () => {
  it('is one JSON object with level, time and what was given, and neither host nor process', () => {
    const { log, last } = logOf();
    log.info({ requestId: 'req_1', status: 200 }, 'request');
    expect(last()).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      requestId: 'req_1',
      status: 200,
      msg: 'request',
    });
  });

  it('is not written below the level', () => {
    const { log, lines } = logOf('silent');
    log.fatal('x');
    expect(lines).toEqual([]);
  });
});

describe('a token', () => {
  it.each(tokenKinds)('of kind %s never reaches a line, wherever it stands', (kind) => {
    const { token } = mintToken(kind);
    const { log, lines } = logOf();
    log.info({ url: `/mcp/srv-1/${token}?a=1`, deep: [{ [token]: token }] }, `said ${token}, ${token}`);
    log.child({ token }).warn('x');
    log.error(new Error(token), token);
    expect(lines.join('')).not.toContain(token.slice(9, 40));
  });

  it('of any shape never reaches a line after the word Bearer', () => {
    const { log, lines } = logOf();
    log.info({ authorization: 'Bearer abcdefgh.ijk-lmn=' }, 'BEARER   0123456789');
    log.info('the bearer of news');
    expect(lines.join('')).not.toMatch(/abcdefgh|0123456789/);
    expect(lines.join('')).toContain('the bearer of news');
  });
});

describe('an error', () => {
  const error = Object.assign(new TypeError('invalid header value "hunter2"'), {
    code: 'ERR_INVALID_CHAR',
    headers: { cookie: 'hunter2' },
  });

  it('is told by name and code only, however it is handed over', () => {
    const { log, lines, last } = logOf();
    log.error(error);
    expect(last()).toMatchObject({ err: { name: 'TypeError', code: 'ERR_INVALID_CHAR' }, msg: 'TypeError' });
    log.error({ err: error, requestId: 'req_1' });
    expect(last()).toMatchObject({
      err: { name: 'TypeError', code: 'ERR_INVALID_CHAR' },
      requestId: 'req_1',
      msg: 'TypeError',
    });
    // How Fastify reports an error of a handler.
    log.error({ err: error }, error.message);
    expect(last()).toMatchObject({ msg: 'TypeError' });
    log.error({ err: error }, 'our own words');
    expect(last()).toMatchObject({ msg: 'our own words' });
    log.child({ a: 1 }).warn(error, 'again');
    log.error({ err: 'hunter2' });
    log.error({ err: null });
    log.error({ err: { message: 'hunter2' } });
    expect(lines.join('')).not.toContain('hunter2');
    expect(lines).toHaveLength(8);
  });
});

describe('a user', () => {
  const namesOf = (key: string) => {
    const names = createLogNames();
    names.use((user) => createHmac('sha256', key).update(user).digest());
    return names;
  };
  const lineOf = (fields: object, text: string, names = namesOf('k')) => {
    const lines: string[] = [];
    createLog({ logLevel: 'info' }, { write: (line) => lines.push(line) }, names).info(fields, text);
    return lines.join('');
  };

  it('stands in no line, under whatever name it is logged and wherever its id turns up', () => {
    const id = newId('usr');
    const fields = {
      userId: id,
      username: 'alice',
      attemptedUser: 'mallory',
      user: { name: 'bob' },
      deep: [{ owner: id }],
    };
    const line = lineOf(fields, `of ${id}`);
    for (const word of [id, id.slice(4), 'alice', 'mallory', 'bob']) expect(line).not.toContain(word);
  });

  it('looks equal to itself and to nobody else, and differently in another installation', () => {
    const [one, other] = [newId('usr'), newId('usr')];
    const of = (id: string, key = 'k') =>
      (JSON.parse(lineOf({ userId: id }, 'x', namesOf(key))) as { userId: string }).userId;
    expect(of(one)).toMatch(/^user:[0-9a-f]{10}$/);
    expect(of(one)).toBe(of(one));
    expect(JSON.parse(lineOf({ said: one }, 'x')).said).toBe(of(one));
    expect(new Set([of(one), of(other), of(one, 'another key')]).size).toBe(3);
  });

  it('has no name before the key is there, and accounts keep theirs', () => {
    const line = lineOf({ userId: newId('usr'), accountId: 'acc_1' }, 'x', createLogNames());
    expect(JSON.parse(line)).toMatchObject({ userId: 'user:?', accountId: 'acc_1' });
  });
});
