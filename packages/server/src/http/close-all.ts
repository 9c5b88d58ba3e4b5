// The end of a gateway, in the one order in which nothing is lost: streams, calls, what still has to be stored, the database.
import type { FastifyInstance } from 'fastify';
import type { Parts } from '../context.ts';

const drainMs = 10_000;
const idleSweepMs = 50;

/** Something that ends. */
interface Closing {
  close(): Promise<void>;
}

/** What runs beside the parts. */
export interface Running {
  keyFollower: Closing;
  sdkLane: Closing;
  refresher: Closing;
  webhooks: { stop(): Promise<void> };
  sealer: Closing;
  retention: Closing;
  windows: Closing;
  replicas: { leave(): Promise<void> };
}

export async function closeAll(app: FastifyInstance, parts: Parts, running: Running): Promise<void> {
  const { sdkLane, refresher, webhooks, sealer, retention, keyFollower, windows, replicas } = running;
  // Streams first: Fastify waits for them otherwise.
  await sdkLane.close();
  parts.live.close();
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      app.server.closeAllConnections();
      resolve();
    }, drainMs);
  });
  // A kept-alive connection whose last answer has gone out would hold us for its idle time.
  const sweep = setInterval(() => app.server.closeIdleConnections(), idleSweepMs);
  await Promise.race([app.close(), patience]);
  clearInterval(sweep);
  clearTimeout(timer);
  await parts.carriers.close();
  // A refresh token that is on its way may be spent: what comes back must be stored.
  await Promise.all([refresher.close(), webhooks.stop()]);
  await parts.egress.close();
  await parts.journal.close();
  await parts.trail.close();
  await parts.keyUse.close();
  await retention.close();
  await keyFollower.close();
  await windows.close();
  await replicas.leave();
  // After the last rows: what this process wrote is sealed by itself.
  await sealer.close();
  parts.directory.close();
  await parts.db.close();
  await parts.tracing.close();
}
