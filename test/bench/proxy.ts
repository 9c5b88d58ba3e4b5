// The yardstick: what nobody who forwards over Fastify and undici can do without. No key, no limit, no policy, no secret, no journal.
import Fastify from 'fastify';
import { Pool } from 'undici';

const target = new URL(process.argv[2] ?? '');
const pool = new Pool(target.origin, { connections: 256, pipelining: 1 });
const app = Fastify();
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.post('/mcp', async (request, reply) => {
  const { statusCode, headers, body } = await pool.request({
    method: 'POST',
    path: target.pathname,
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: request.body as Buffer,
  });
  reply.code(statusCode).header('content-type', String(headers['content-type']));
  return reply.send(Buffer.from(await body.arrayBuffer()));
});
await app.listen({ host: '127.0.0.1', port: 0 });
const address = app.server.address();
process.send?.({ port: typeof address === 'object' ? address?.port : undefined });
process.once('disconnect', () => process.exit(0));
