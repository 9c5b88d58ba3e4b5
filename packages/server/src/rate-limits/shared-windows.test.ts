// What a replica's own window knows when the store of all replicas falls silent. With real stores it is tested in test/replicas.
import { expect, it } from 'vitest';
import { SharedWindows } from './shared-windows.ts';
import { SlidingWindowStore } from './window.ts';

it('has counted what the store admitted here: whoever used up the share is refused from the first moment without the store', async () => {
  let admitted = 0;
  let isDown = false;
  const windows = new SharedWindows({
    store: {
      name: 'redis',
      async take() {
        if (isDown) throw new Error('gone');
        return { current: ++admitted, ttl: 60_000 };
      },
      peek: async () => ({ current: admitted, ttl: 60_000 }),
      giveBack: async () => undefined,
    },
    own: new SlidingWindowStore(() => 1_000_000),
    now: () => 1_000_000,
    live: () => 3,
    log: { warn: () => undefined, info: () => undefined } as never,
  });
  // A share of three replicas is 10.
  const take = async (): Promise<boolean> => (await windows.take('user', 60_000, 30, 'own')).current <= 30;
  for (let n = 0; n < 8; n++) expect(await take()).toBe(true);
  isDown = true;
  const answers: boolean[] = [];
  for (let n = 0; n < 5; n++) answers.push(await take());
  expect(answers).toEqual([true, true, false, false, false]);
});
