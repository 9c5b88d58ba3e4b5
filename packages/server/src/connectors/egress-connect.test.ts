// What happens between a checked URL and the first byte: resolution, rebinding, the peer's address, TLS, time, own listeners.
import net from 'node:net';
import tls from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createEgress, type Egress, type EgressOptions, type LookupFn } from './egress.ts';
import { selfSigned, type TestCertificate } from './egress-test-certificate.ts';
import { listen, startRaw, startUpstream, type Upstream } from './egress-test-upstream.ts';

const opened: Array<{ close(): Promise<void> }> = [];

function keep<T extends { close(): Promise<void> }>(item: T): T {
  opened.push(item);
  return item;
}

afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const item of opened.splice(0).reverse()) await item.close();
});

const newEgress = (options: Partial<EgressOptions> = {}): Egress =>
  keep(createEgress({ allowedCidrs: ['127.0.0.0/8'], ...options }));

const get = () => ({ method: 'GET' as const, headers: {}, signal: AbortSignal.timeout(5_000) });
const refusal = expect.objectContaining({ code: 'EGRESS_REFUSED', sent: 'no' });
const unreachable = expect.objectContaining({ code: 'UNREACHABLE', sent: 'no' });

/** Answers with each of these in turn, then with the last for ever. */
function lookupOf(...answers: string[][]): LookupFn & { asked: string[] } {
  const asked: string[] = [];
  const lookup = async (hostname: string) => {
    const addresses = answers[Math.min(asked.length, answers.length - 1)] ?? [];
    asked.push(hostname);
    return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  };
  return Object.assign(lookup, { asked });
}

describe('names', () => {
  it('asks once for each connection and connects to that answer', async () => {
    const upstream = keep(await startUpstream((request, response) => response.end(request.headers.host)));
    const lookup = lookupOf(['127.0.0.1']);
    const egress = newEgress({ lookup });
    for (let call = 0; call < 3; call += 1) {
      const answer = await egress.request('a', `http://API.example.test.:${upstream.port}/`, get());
      expect(answer.body.toString()).toBe(`api.example.test:${upstream.port}`);
    }
    expect(new Set(lookup.asked)).toEqual(new Set(['api.example.test']));
    expect(upstream.connections()).toBe(lookup.asked.length);
  });

  it('refuses a name that is rebound from an allowed to an internal address, on every pool, without touching it', async () => {
    const allowed = keep(await startUpstream((_request, response) => response.end('allowed'), '127.0.0.2'));
    const canary = keep(await startRaw(undefined, '127.0.0.1', allowed.port));
    for (let round = 0; round < 50; round += 1) {
      const egress = createEgress({
        allowedCidrs: ['127.0.0.2/32'],
        lookup: lookupOf(['127.0.0.2'], ['127.0.0.1'], ['127.0.0.2', '127.0.0.1'], ['::1'], ['127.0.0.1']),
      });
      const url = `http://rebind.example.test:${allowed.port}/`;
      expect((await egress.request('p0', url, get())).status).toBe(200);
      for (const pool of ['p1', 'p2', 'p3', 'p4']) {
        await expect(egress.request(pool, url, get())).rejects.toEqual(refusal);
      }
      await egress.close();
    }
    expect(canary.connections()).toBe(0);
    expect(allowed.connections()).toBe(50);
  });

  it('refuses a mixed answer even when its first address is allowed and listening', async () => {
    const allowed = keep(await startUpstream((_request, response) => response.end(), '127.0.0.2'));
    const egress = newEgress({
      allowedCidrs: ['127.0.0.2/32'],
      lookup: lookupOf(['127.0.0.2', '127.0.0.1']),
    });
    await expect(egress.request('a', `http://mixed.example.test:${allowed.port}/`, get())).rejects.toEqual(refusal);
    expect(allowed.connections()).toBe(0);
  });

  it('tries the next checked address when one does not answer', async () => {
    const upstream = keep(await startUpstream((_request, response) => response.end('second'), '127.0.0.3'));
    const egress = newEgress({ lookup: lookupOf(['127.0.0.2', '127.0.0.3']) });
    const answer = await egress.request('a', `http://two.example.test:${upstream.port}/`, get());
    expect(answer.body.toString()).toBe('second');
  });

  it('sends nothing to a peer that is not one of the checked addresses', async () => {
    const elsewhere = keep(await startRaw((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')));
    const connect = net.connect;
    vi.spyOn(net, 'connect').mockImplementation(((options: net.TcpNetConnectOpts) =>
      connect({ ...options, host: '127.0.0.1' })) as typeof net.connect);
    const egress = newEgress({ lookup: lookupOf(['127.0.0.9']) });
    await expect(egress.request('a', `http://moved.example.test:${elsewhere.port}/`, get())).rejects.toEqual(refusal);
    expect(elsewhere.bytes()).toBe(0);
  });

  it('reports unknown names, empty answers and closed ports as unreachable and not sent', async () => {
    const closed = await startRaw();
    await closed.close();
    const failing = newEgress({ lookup: () => Promise.reject(new Error('canary-resolver-text')) });
    const empty = newEgress({ lookup: lookupOf([]) });
    for (const [egress, host] of [
      [failing, 'nowhere.example.test'],
      [empty, 'nowhere.example.test'],
      [newEgress(), '127.0.0.1'],
    ] as const) {
      await expect(egress.request('a', `http://${host}:${closed.port}/`, get())).rejects.toEqual(unreachable);
      await expect(egress.request('a', `http://${host}:${closed.port}/`, get())).rejects.toThrow(/^(?!.*canary)/);
    }
  });

  it('ignores proxies named in the environment', async () => {
    const proxy = keep(await startRaw());
    const upstream = keep(await startUpstream((_request, response) => response.end('direct')));
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy', 'ALL_PROXY', 'NODE_USE_ENV_PROXY']) {
      vi.stubEnv(name, name === 'NODE_USE_ENV_PROXY' ? '1' : `http://127.0.0.1:${proxy.port}`);
    }
    const answer = await newEgress().request('a', `http://127.0.0.1:${upstream.port}/`, get());
    expect(answer.body.toString()).toBe('direct');
    expect(proxy.connections()).toBe(0);
  });
});

describe('time', () => {
  it('gives up a connection that is not made in time, wherever it hangs, and says nothing was sent', async () => {
    const silent = keep(await startRaw());
    const hangingLookup = newEgress({ connectTimeoutMs: 150, lookup: () => new Promise(() => undefined) });
    const hangingTls = newEgress({ connectTimeoutMs: 150 });
    const startedAt = performance.now();
    await expect(hangingLookup.request('a', 'https://slow.example.test/', get())).rejects.toEqual(unreachable);
    await expect(hangingTls.request('a', `https://127.0.0.1:${silent.port}/`, get())).rejects.toEqual(unreachable);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  it('ends at once on abort while connecting, and never sends that request later', async () => {
    const upstream = keep(await startUpstream((_request, response) => response.end('ok')));
    let answer: (addresses: Array<{ address: string; family: number }>) => void = () => undefined;
    const lookup = () => new Promise<Array<{ address: string; family: number }>>((resolve) => (answer = resolve));
    const egress = newEgress({ lookup });
    const url = `http://late.example.test:${upstream.port}/`;
    const cancel = new AbortController();
    const cancelled = egress.request('a', url, { method: 'POST', headers: {}, body: 'x', signal: cancel.signal });
    cancel.abort();
    await expect(cancelled).rejects.toEqual(expect.objectContaining({ code: 'ABORTED', sent: 'no' }));
    answer([{ address: '127.0.0.1', family: 4 }]);
    await vi.waitFor(() => expect(upstream.connections()).toBe(1));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(upstream.bytes()).toBe(0);
  });
});

describe('own listeners', () => {
  it('are refused even inside a listed range, by address, wildcard and name', async () => {
    const own = keep(await startUpstream((_request, response) => response.end('own')));
    const { port } = own;
    const cidrs = ['0.0.0.0/0', '::/0'];
    const lookup = lookupOf(['127.0.0.1']);
    for (const host of ['127.0.0.1', '0.0.0.0', '::', '::ffff:127.0.0.1', 'db.example.test']) {
      const egress = newEgress({ allowedCidrs: cidrs, denied: [{ host, port }], lookup });
      for (const target of ['127.0.0.1', '0.0.0.0', '[::ffff:127.0.0.1]', 'alias.example.test']) {
        await expect(egress.request('a', `http://${target}:${port}/`, get()), `${host} ${target}`).rejects.toEqual(
          refusal,
        );
      }
    }
    expect(own.connections()).toBe(0);
  });

  it('are refused as soon as their port is known, and leave other ports alone', async () => {
    const own = keep(await startUpstream((_request, response) => response.end('own')));
    const other = keep(await startUpstream((_request, response) => response.end('other')));
    const denied: Array<{ host: string; port: number }> = [];
    const egress = newEgress({ denied });
    denied.push({ host: '0.0.0.0', port: own.port });
    await expect(egress.request('a', `http://127.0.0.1:${own.port}/`, get())).rejects.toEqual(refusal);
    expect((await egress.request('a', `http://127.0.0.1:${other.port}/`, get())).body.toString()).toBe('other');
  });
});

describe('TLS', () => {
  const day = 86_400_000;
  const valid = selfSigned(['tls.example.test'], new Date(Date.now() - day), new Date(Date.now() + day));
  const expired = selfSigned(['tls.example.test'], new Date(Date.now() - 2 * day), new Date(Date.now() - day));

  async function startTls(certificate: TestCertificate): Promise<{ upstream: Upstream; names: unknown[] }> {
    const names: unknown[] = [];
    const server = tls.createServer(certificate, (socket) => {
      names.push(socket.servername);
      socket.on('error', () => socket.destroy());
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'));
    });
    return { upstream: keep(await listen(server, '127.0.0.1', 0)), names };
  }

  it('checks the certificate against the name that was asked for', async () => {
    const { upstream, names } = await startTls(valid);
    const egress = newEgress({ lookup: lookupOf(['127.0.0.1']), ca: valid.cert });
    const answer = await egress.request('a', `https://tls.example.test:${upstream.port}/`, get());
    expect(answer.body.toString()).toBe('ok');
    expect(names).toEqual(['tls.example.test']);
    for (const host of ['other.example.test', '127.0.0.1']) {
      await expect(egress.request('a', `https://${host}:${upstream.port}/`, get())).rejects.toEqual(unreachable);
    }
  });

  it('refuses unknown and expired certificates, whatever the environment says', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const unknown = await startTls(valid);
    const outdated = await startTls(expired);
    const lookup = lookupOf(['127.0.0.1']);
    const url = (port: number) => `https://tls.example.test:${port}/`;
    await expect(newEgress({ lookup }).request('a', url(unknown.upstream.port), get())).rejects.toEqual(unreachable);
    const trusting = newEgress({ lookup, ca: expired.cert });
    await expect(trusting.request('a', url(outdated.upstream.port), get())).rejects.toEqual(unreachable);
  });
});
