// What happens when a file of the SDK is not there. The same of the packed package is in the tests of what is published.
import { expect, it } from 'vitest';
import { ConfigError } from './errors.ts';
import { part } from './part.ts';

it('a part that cannot be loaded is an error that says so, repeats no path, and is asked for anew', async () => {
  const missing = () => Promise.reject(new Error('Cannot find /home/somebody/chunk.js'));
  const error = await part(missing).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigError);
  expect(error).toMatchObject({ code: 'PART_NOT_LOADED', executed: 'no', retryable: false });
  expect(JSON.stringify(error)).not.toContain('somebody');
  expect(await part(async () => 'there')).toBe('there');
});
