// What becomes of anything thrown: a code of the table and a sentence of ours, whatever the error said.
import { describe, expect, it } from 'vitest';
import { DatabaseError, DatabaseUnavailable } from '../db/errors.ts';
import { Refusal } from '../refusal.ts';
import { asRefusal, dialectOf } from './reply-error.ts';

const framework = (code: string, statusCode: number) =>
  Object.assign(new Error('quotes the body: hunter2'), { code, statusCode });

describe('asRefusal', () => {
  it.each([
    ['a silent database', new DatabaseUnavailable('DEADLINE'), 'UNAVAILABLE'],
    ['a deadlock', new DatabaseError('40P01', 'deadlock detected', undefined), 'UNAVAILABLE'],
    ['a reference that broke meanwhile', new DatabaseError('23503', 'key (user_id)=(usr_1)', 'x'), 'CONFLICT'],
    ['a body over the limit', framework('FST_ERR_CTP_BODY_TOO_LARGE', 413), 'PAYLOAD_TOO_LARGE'],
    ['another media type', framework('FST_ERR_CTP_INVALID_MEDIA_TYPE', 415), 'UNSUPPORTED_MEDIA_TYPE'],
    ['a path that cannot be decoded', framework('FST_ERR_BAD_URL', 400), 'INVALID_REQUEST'],
    ['whatever else the framework calls malformed', framework('FST_ERR_SOMETHING_NEW', 400), 'INVALID_REQUEST'],
  ])('says of %s what the caller can act on', (_, error, code) => {
    const refusal = asRefusal(error);
    expect(refusal?.code).toBe(code);
    expect(refusal?.message).not.toMatch(/hunter2|usr_1|deadlock/);
  });

  it.each([
    ['a defect', new TypeError('x is not a function')],
    ['an error that only looks refused', Object.assign(new Error('no'), { statusCode: 403 })],
    ['a refused statement', new DatabaseError('23514', 'violates check constraint', 'x')],
    ['something that is no error', 'text'],
    ['nothing', undefined],
  ])('leaves %s to be logged as our fault', (_, error) => {
    expect(asRefusal(error)).toBeUndefined();
  });

  it('passes a refusal on as it is', () => {
    const refusal = new Refusal('CONFLICT', 'taken');
    expect(asRefusal(refusal)).toBe(refusal);
  });
});

describe('dialectOf', () => {
  it.each([
    ['/users', 'users'],
    ['/users?limit=1', 'users'],
    ['/keys/revoke', 'users'],
    ['/secrets/set', 'secrets'],
    ['/mcp/tool/call', 'secrets'],
    ['/api/users', 'api'],
    ['/usersomething', 'api'],
    ['/mcp/toolbox-00000000', 'api'],
    ['/', 'api'],
  ])('of %s is %s', (path, dialect) => {
    expect(dialectOf(path)).toBe(dialect);
  });
});
