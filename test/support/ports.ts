// Ports for what has to be told its port before it listens, or must come back at the same one. From below the range that the system hands out for
// port 0 and for outgoing connections: between the look and the use, none of the other suites can be given it.
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const [first, end] = [12_000, 32_000];

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const port = randomInt(first, end);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${first} to ${end}`);
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
