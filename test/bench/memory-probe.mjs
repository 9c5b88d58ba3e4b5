// Loaded into a gateway that is measured: on a message from its parent it collects garbage twice and says what is left. Does nothing else.
import { setTimeout as sleep } from 'node:timers/promises';

process.on('message', async () => {
  globalThis.gc();
  await sleep(500);
  globalThis.gc();
  process.send(process.memoryUsage());
});
// The gateway must be able to end while nobody asks.
process.channel.unref();
