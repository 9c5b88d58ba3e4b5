// What a log line may hold: no token, no text of an error that may quote what was sent.
import { describe, expect, it } from 'vitest';
import { mintToken, tokenKinds } from './crypto/token.ts';
import { createLog } from './log.ts';

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
