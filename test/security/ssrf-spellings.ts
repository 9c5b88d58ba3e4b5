// Every way we know to write "this machine", as URLs on one port. Loopback only: were the guard to fail, nothing would leave the machine.

/** Hosts that a URL parser, a resolver or a kernel may take for 127.0.0.1 or ::1. */
const hosts = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '2130706433',
  '0x7f000001',
  '0x7F.0x00.0x00.0x01',
  '0x7f.1',
  '017700000001',
  '0177.0.0.1',
  '0177.0000.0000.0001',
  '127.0x1',
  '127.000.000.001',
  '127.0.0.1.',
  '%31%32%37.0.0.1',
  '127%2e0%2e0%2e1',
  '１２７.0.0.1',
  '127。0。0。1',
  '127．0．0．1',
  '①②⑦.0.0.1',
  '0.0.0.0',
  '0',
  '0x0',
  '000000',
  '[::1]',
  '[0:0:0:0:0:0:0:1]',
  '[0000:0000:0000:0000:0000:0000:0000:0001]',
  '[::0:1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[::FFFF:7F00:0001]',
  '[0:0:0:0:0:ffff:7f00:1]',
  '[::127.0.0.1]',
  '[::7f00:1]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b::127.0.0.1]',
  '[2002:7f00:1::]',
  '[fe80::1]',
  'localhost',
  'LOCALHOST',
  'localhost.',
  'ｌｏｃａｌｈｏｓｔ',
  'loc%61lhost',
  'a.localhost',
  'ip6-localhost',
];

/** Names that the test's resolver answers with inside addresses, or with both kinds, or with one after the other. */
export const hostileNames = [
  'inside.test',
  'inside6.test',
  'mapped.test',
  'mixed.test',
  'mixed-late.test',
  'rebind.test',
];

/** `good` is an allowed origin that a careless reader would take the URL for. */
export function spellings(port: number, good: string): string[] {
  const plain = [...hosts, ...hostileNames].flatMap((host) =>
    ['http', 'https', 'HTTP'].map((scheme) => `${scheme}://${host}:${port}/mcp`),
  );
  const { host } = new URL(good);
  const dressed = ['127.0.0.1', '[::1]', 'localhost', 'inside.test', '2130706433'].flatMap((inner) => [
    `http://${host}@${inner}:${port}/mcp`,
    `http://${host}%2f@${inner}:${port}/mcp`,
    `http://${host}:pw@${inner}:${port}/mcp`,
    `http:\\\\${inner}:${port}\\mcp`,
    `http:///${inner}:${port}/mcp`,
    `http:/${inner}:${port}/mcp`,
    `http:${inner}:${port}/mcp`,
    `http://${inner}:${port}\\@${host}/mcp`,
    `http://${inner}:${port}#@${host}/mcp`,
    `http://${inner}:${port}?@${host}/mcp`,
    `ht\ntp://${inner}:${port}/mcp`,
    `\thttp://${inner}:${port}/mcp `,
    `blob:http://${inner}:${port}/mcp`,
    `ftp://${inner}:${port}/mcp`,
    `gopher://${inner}:${port}/_x`,
    `ws://${inner}:${port}/mcp`,
  ]);
  return [...plain, ...dressed, 'file:///etc/passwd', 'data:application/json,{}', `//127.0.0.1:${port}/mcp`];
}
