// Which addresses may be reached: every spelling of every internal address, as a URL and as a DNS answer, with listeners and a
// count of connection attempts as witnesses.
import net from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createEgress, type Egress } from './egress.ts';
import { createAddressRules } from './egress-address.ts';
import { startRaw, startUpstream, type Upstream } from './egress-test-upstream.ts';

const INTERNAL_V4 = [
  '127.0.0.1',
  '127.255.255.254',
  '0.0.0.0',
  '10.1.2.3',
  '172.16.0.9',
  '192.168.1.1',
  '169.254.169.254',
  '100.100.100.200',
  '192.0.0.192',
  '168.63.129.16',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
];

const INTERNAL_V6 = [
  '::',
  '::1',
  '0:0:0:0:0:0:0:1',
  '0000:0000:0000:0000:0000:0000:0000:0001',
  '::0:1',
  'fe80::1',
  'febf::1',
  'fc00::1',
  'fd00:ec2::254',
  'fec0::1',
  'ff02::1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '3fff::1',
  '5f00::1',
  '4000::1',
  'e000::1',
];

const PUBLIC = ['1.1.1.1', '8.8.8.8', '93.184.215.14', '2606:4700::1111', '2a00:1450:4001::200e'];

/** The IPv6 forms in which a kernel, a translator or a tunnel would deliver to an IPv4 address. */
function v6FormsOf(address: string): string[] {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  const high = ((a << 8) | b).toString(16);
  const low = ((c << 8) | d).toString(16);
  return [
    `::ffff:${address}`,
    `::ffff:${high}:${low}`,
    `0:0:0:0:0:FFFF:${high}:${low}`,
    `::${address}`,
    `::${high}:${low}`,
    `::ffff:0:${address}`,
    `64:ff9b::${address}`,
    `64:ff9b::${high}:${low}`,
    `64:ff9b:1::${high}:${low}`,
    `2002:${high}:${low}::1`,
  ];
}

/** The forms in which a URL may spell an IPv4 address. */
function urlSpellingsOf(address: string): string[] {
  const parts = address.split('.').map(Number);
  const [a = 0, b = 0, c = 0, d = 0] = parts;
  const whole = ((a * 256 + b) * 256 + c) * 256 + d;
  const fullwidth = [...address].map((digit) =>
    digit === '.' ? '。' : String.fromCharCode(digit.charCodeAt(0) + 0xfee0),
  );
  return [
    address,
    `${address}.`,
    String(whole),
    `0x${whole.toString(16)}`,
    `0X${whole.toString(16).toUpperCase()}`,
    `0${whole.toString(8)}`,
    `000${whole.toString(8)}.`,
    parts.map((part) => `0x${part.toString(16)}`).join('.'),
    parts.map((part) => `0${part.toString(8)}`).join('.'),
    parts.map((part) => `0000${part.toString(8)}`).join('.'),
    `${a}.${b}.${c * 256 + d}`,
    `${a}.${(b * 256 + c) * 256 + d}`,
    `0x${a.toString(16)}.${(b * 256 + c) * 256 + d}`,
    `0${a.toString(8)}.${b}.0x${c.toString(16)}.${d}`,
    fullwidth.join(''),
    `%3${String(a)[0]}${address.slice(1)}`,
    ...v6FormsOf(address).map((form) => `[${form}]`),
  ];
}

const SPELLINGS = [...INTERNAL_V4.flatMap(urlSpellingsOf), ...INTERNAL_V6.map((address) => `[${address}]`)];
const ANSWERS = [...INTERNAL_V4, ...INTERNAL_V4.flatMap(v6FormsOf), ...INTERNAL_V6, 'fe80::1%lo', 'not-an-address', ''];

const get = () => ({ method: 'GET' as const, headers: {}, signal: AbortSignal.timeout(5_000) });
const refusal = expect.objectContaining({ code: 'EGRESS_REFUSED', sent: 'no' });

let canary: Upstream;
let control: Upstream;
let egress: Egress | undefined;

beforeAll(async () => {
  canary = await startRaw();
  control = await startUpstream((_request, response) => response.end('control'));
});
afterAll(() => Promise.all([canary.close(), control.close()]));
afterEach(async () => {
  vi.restoreAllMocks();
  await egress?.close();
});

describe('addresses', () => {
  it('covers at least 200 spellings', () => {
    expect(new Set(SPELLINGS).size).toBeGreaterThanOrEqual(200);
  });

  it('refuses every spelling of an internal address without opening a connection', async () => {
    egress = createEgress({ allowedCidrs: [] });
    const attempts = vi.spyOn(net.Socket.prototype, 'connect');
    for (const host of SPELLINGS) {
      for (const url of [`https://${host}/`, `http://${host}:${canary.port}/`, `https://${host}:${canary.port}/`]) {
        await expect(egress.request('a', url, get()), url).rejects.toEqual(refusal);
        expect(() => egress?.check(url), url).toThrow(refusal);
      }
    }
    expect(attempts).not.toHaveBeenCalled();
    expect(canary.connections()).toBe(0);
  });

  it('refuses the same spellings while unrelated ranges are listed', async () => {
    egress = createEgress({ allowedCidrs: ['203.0.113.0/24', '2001:db8:77::/48'] });
    const attempts = vi.spyOn(net.Socket.prototype, 'connect');
    for (const host of SPELLINGS) {
      await expect(egress.request('a', `https://${host}/`, get()), host).rejects.toEqual(refusal);
      await expect(egress.request('a', `http://${host}:${canary.port}/`, get()), host).rejects.toEqual(refusal);
    }
    expect(attempts).not.toHaveBeenCalled();
  });

  it('refuses every internal address as a DNS answer, alone or beside a public one, without opening a connection', async () => {
    const attempts = vi.spyOn(net.Socket.prototype, 'connect');
    for (const address of ANSWERS) {
      const family = address.includes(':') ? 6 : 4;
      for (const answers of [[address], ['1.1.1.1', address], [address, '1.1.1.1']]) {
        egress = createEgress({
          allowedCidrs: [],
          lookup: async () => answers.map((one) => ({ address: one, family: one === '1.1.1.1' ? 4 : family })),
        });
        await expect(egress.request('a', 'https://api.example.com/', get()), answers.join()).rejects.toEqual(refusal);
        await egress.close();
      }
    }
    expect(attempts).not.toHaveBeenCalled();
  });

  it('refuses the names of this machine', async () => {
    egress = createEgress({ allowedCidrs: [] });
    const attempts = vi.spyOn(net.Socket.prototype, 'connect');
    for (const host of ['localhost', 'LOCALHOST', 'localhost.', 'lOcAlHoSt.']) {
      await expect(egress.request('a', `https://${host}/`, get()), host).rejects.toEqual(refusal);
    }
    expect(attempts).not.toHaveBeenCalled();
  });

  it('reaches a listed loopback range through every spelling of it', async () => {
    egress = createEgress({ allowedCidrs: ['127.0.0.1/32'] });
    for (const host of urlSpellingsOf('127.0.0.1').filter((one) => !one.startsWith('['))) {
      const answer = await egress.request('a', `http://${host}:${control.port}/`, get());
      expect(answer.body.toString(), host).toBe('control');
    }
  });

  it('allows public addresses on https and ports 443 and 80 only, and listed ones on any scheme and port', () => {
    const rules = createAddressRules(['10.0.0.0/8', 'fd00::/8', '192.168.7.7']);
    for (const address of PUBLIC) {
      expect(rules.allows(address, 'https:', 443), address).toBe(true);
      expect(rules.allows(address, 'https:', 80), address).toBe(true);
      expect(rules.allows(address, 'https:', 8443), address).toBe(false);
      expect(rules.allows(address, 'http:', 80), address).toBe(false);
    }
    for (const address of ['10.9.9.9', 'fd12::1', '192.168.7.7']) {
      expect(rules.allows(address, 'http:', 9_999), address).toBe(true);
    }
    for (const address of ['11.0.0.1', '192.168.7.8', 'fc00::1', '::ffff:10.9.9.9', '10.9', '012.9.9.9']) {
      expect(rules.allows(address, 'http:', 9_999), address).toBe(false);
    }
  });

  it('refuses to start with a range that is not one', () => {
    for (const range of ['', '10.0/8', '010.0.0.0/8', '10.0.0.0/33', 'example.com', '10.0.0.0/8,127.0.0.0/8']) {
      expect(() => createAddressRules([range]), range).toThrow(TypeError);
    }
  });
});

describe('check', () => {
  it('normalises the name and keeps path and query', () => {
    const rules = createAddressRules([]);
    expect(rules.check('HTTPS://API.Example.COM./v1?q=1').href).toBe('https://api.example.com/v1?q=1');
    expect(rules.check('https://1.1.1.1/').href).toBe('https://1.1.1.1/');
    expect(rules.check('https://[2606:4700::1111]/').href).toBe('https://[2606:4700::1111]/');
  });

  it('refuses other schemes, user information, odd ports and broken names', () => {
    const rules = createAddressRules([]);
    for (const url of [
      'http://api.example.com/',
      'http://api.example.com:443/',
      'ftp://api.example.com/',
      'file:///etc/passwd',
      'data:text/plain,hi',
      'blob:https://api.example.com/1',
      'javascript:alert(1)',
      'https://user@api.example.com/',
      'https://:secret@api.example.com/',
      'https://api.example.com:8443/',
      'https://api.example.com:22/',
      'https://a..b/',
      'https://example.com../',
      `https://${'a'.repeat(64)}.example.com/`,
      'https://[::1',
      'https://',
      'not a url',
      '',
    ]) {
      expect(() => rules.check(url), url).toThrow(refusal);
    }
  });

  it('lets names through on http and other ports once ranges are listed, since only their address can tell', () => {
    const rules = createAddressRules(['10.0.0.0/8']);
    expect(rules.check('http://internal.example:8080/mcp').href).toBe('http://internal.example:8080/mcp');
    expect(rules.check('http://10.0.0.5:8080/mcp').href).toBe('http://10.0.0.5:8080/mcp');
    expect(() => rules.check('http://8.8.8.8/')).toThrow(refusal);
    expect(() => rules.check('https://8.8.8.8:8443/')).toThrow(refusal);
  });

  it('never repeats the URL in its message', () => {
    const rules = createAddressRules([]);
    for (const url of ['https://canary-user:canary-pass@h.example/', 'http://canary-host/', 'https://canary host/']) {
      expect(() => rules.check(url)).toThrow(/^(?!.*canary)/);
    }
  });
});
