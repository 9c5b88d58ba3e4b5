// Decides which addresses, ports and schemes an outbound request may use, and validates the URL a person configured.
// No I/O except reading this machine's own interfaces: names are resolved by egress-connect, which asks here about each answer.
import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import { refused } from './egress-error.ts';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = [Address, number];

/** One of the gateway's own listeners or stores: never an upstream, whatever the operator lists. */
export interface DeniedTarget {
  /** Literal address, `0.0.0.0` or `::` for every address of this machine, or a name. */
  host: string;
  port: number;
}

/** Azure's host agent: `ipaddr.js` rightly calls it unicast, and it hands out machine credentials. */
const AZURE_WIRE_SERVER = '168.63.129.16';

const PUBLIC_PORTS = new Set([80, 443]);

export interface AddressRules {
  /** Whether a connection to this resolved address is allowed with this scheme and port. */
  allows(address: string, protocol: string, port: number): boolean;
  /** Validates and normalises a configured URL; throws EGRESS_REFUSED with a sentence. */
  check(url: string | URL): URL;
}

export function createAddressRules(allowedCidrs: readonly string[]): AddressRules {
  const ranges = allowedCidrs.map(parseRange);

  const isListed = (address: Address) =>
    ranges.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));

  function allows(text: string, protocol: string, port: number): boolean {
    const address = parseAddress(text);
    if (address === undefined) return false;
    if (isListed(address)) return true;
    return protocol === 'https:' && PUBLIC_PORTS.has(port) && isPublic(address);
  }

  function check(input: string | URL): URL {
    let url: URL;
    try {
      url = new URL(input);
    } catch {
      throw refused('The upstream URL is not a valid URL.');
    }
    if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused('The upstream URL must use https.');
    if (url.username !== '' || url.password !== '') {
      throw refused('The upstream URL must not contain a user name or password.');
    }
    // The URL parser has lower-cased the name and turned every spelling of an IPv4 address (127.1, 0x7f000001,
    // 2130706433, fullwidth digits) into dotted form; the final dot it leaves in place.
    if (url.hostname.endsWith('.')) url.hostname = url.hostname.slice(0, -1);
    const host = bareHost(url);
    const isLiteral = parseAddress(host) !== undefined;
    if (!isLiteral && !isHostName(host)) throw refused('The upstream URL has no valid host name.');

    // With names, http and other ports stay open here if the operator listed anything: only the resolved address can tell.
    const mayBeListed = ranges.length > 0 && !isLiteral;
    const port = portOf(url);
    if (isLiteral && allows(host, url.protocol, port)) return url;
    if (url.protocol === 'http:' && !mayBeListed) throw refused('The upstream URL must use https.');
    if (!PUBLIC_PORTS.has(port) && !mayBeListed) throw refused('The upstream URL must use port 443 or 80.');
    if (isLiteral) throw refused('The upstream URL points at an address that is not public.');
    return url;
  }

  return { allows, check };
}

/** The URL's port as a number, with the scheme's default filled in. */
export function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** The URL's host without the brackets of an IPv6 literal. */
export function bareHost(url: URL): string {
  return url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
}

/** One spelling per address, so that what was checked and what the socket reports can be compared; undefined if it is none. */
export function canonicalAddress(text: string | undefined): string | undefined {
  return text === undefined ? undefined : parseAddress(text)?.toString();
}

/** Whether `text` is an address at all. */
export function isAddress(text: string): boolean {
  return parseAddress(text) !== undefined;
}

/** Whether `address` is where a denied target with this literal (or wildcard) host listens. */
export function isDeniedAddress(address: string, deniedHost: string): boolean {
  const target = unmapped(address);
  const denied = unmapped(deniedHost);
  if (target === undefined || denied === undefined) return false;
  if (denied.range() !== 'unspecified') {
    // The unspecified address as a destination reaches loopback.
    if (target.range() === 'unspecified') return denied.range() === 'loopback';
    return target.toString() === denied.toString();
  }
  if (target.range() === 'loopback' || target.range() === 'unspecified') return true;
  return Object.values(networkInterfaces())
    .flat()
    .some((own) => own !== undefined && unmapped(own.address)?.toString() === target.toString());
}

function parseRange(text: string): Range {
  if (ipaddr.IPv4.isValidCIDRFourPartDecimal(text) || ipaddr.IPv6.isValidCIDR(text)) return ipaddr.parseCIDR(text);
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`Not an address range: ${text}`);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

/** Strict: ipaddr's own IPv4 parser also takes octal, hexadecimal and shortened forms, which different readers read differently. */
function parseAddress(text: string): Address | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  return ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined;
}

function unmapped(text: string): Address | undefined {
  const address = parseAddress(text);
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast' || address.toString() === AZURE_WIRE_SERVER) return false;
  // ipaddr calls everything without a name of its own unicast, the old ::a.b.c.d form included; only 2000::/3 is assigned.
  return address instanceof ipaddr.IPv4 || ((address.parts[0] ?? 0) & 0xe000) === 0x2000;
}

function isHostName(host: string): boolean {
  return host.length <= 253 && host.split('.').every((label) => label.length > 0 && label.length <= 63);
}
