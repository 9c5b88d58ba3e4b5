// The connector under every outbound socket: resolve, check every answer, connect to a checked address, compare the peer.
// Checks happen only here, when a socket is made, so a kept-alive socket costs nothing; and undici's own `connect.lookup` is not
// used, because it is never called for literal addresses. No HTTP byte is written before this has called back without an error.
import { lookup as dnsLookup } from 'node:dns/promises';
import net from 'node:net';
import tls from 'node:tls';
import type { buildConnector } from 'undici';
import {
  type AddressRules,
  canonicalAddress,
  type DeniedTarget,
  isAddress,
  isDeniedAddress,
} from './egress-address.ts';
import { EgressError, refused } from './egress-error.ts';

export interface ResolvedAddress {
  address: string;
  family: number;
}

/** Resolves a name to all of its addresses. */
export type LookupFn = (hostname: string) => Promise<ResolvedAddress[]>;

export interface ConnectorOptions {
  rules: AddressRules;
  /** Read at every connection, so a listener that learns its port late can still be added. */
  denied: readonly DeniedTarget[];
  lookup: LookupFn;
  /** Covers name resolution, TCP and TLS together. */
  connectTimeoutMs: number;
  secureContext: tls.SecureContext;
}

/** Time for one address of several before the next one is tried. Node's 250 ms gives up on healthy distant hosts. */
const ATTEMPT_TIMEOUT_MS = 1_000;
const KEEP_ALIVE_PROBE_MS = 60_000;

/** The operating system's resolver; questions for the same name that are in flight together share one answer. */
export function createSystemLookup(): LookupFn {
  const inFlight = new Map<string, Promise<ResolvedAddress[]>>();
  return (hostname) => {
    const asked = inFlight.get(hostname);
    if (asked !== undefined) return asked;
    const asking = dnsLookup(hostname, { all: true, verbatim: true }).finally(() => inFlight.delete(hostname));
    inFlight.set(hostname, asking);
    return asking;
  };
}

/** One connector per pool, so that TLS sessions are not resumed across accounts. */
export function createConnector(options: ConnectorOptions): buildConnector.connector {
  let session: Buffer | undefined;

  return (target, callback) => {
    let socket: net.Socket | undefined;
    let isDone = false;
    const finish = (failure: EgressError | null) => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      if (failure === null && socket !== undefined) return callback(null, socket);
      socket?.destroy();
      callback(failure ?? new EgressError('UNREACHABLE', 'no'), null);
    };
    const timer = setTimeout(
      () => finish(new EgressError('UNREACHABLE', 'no', 'The upstream did not accept a connection in time.')),
      options.connectTimeoutMs,
    );

    resolveChecked(options, target).then(
      (addresses) => {
        if (isDone) return;
        const isTls = target.protocol === 'https:';
        socket = isTls
          ? openTls(options.secureContext, target, addresses, session)
          : net.connect(tcpOptions(target, addresses));
        const allowed = new Set(addresses.map(({ address }) => canonicalAddress(address)));
        socket
          .once(isTls ? 'secureConnect' : 'connect', function (this: net.Socket) {
            // Whatever happened between the check and the connection, the peer must be one that was checked.
            finish(allowed.has(canonicalAddress(this.remoteAddress)) ? null : refused());
          })
          .on('error', () => finish(new EgressError('UNREACHABLE', 'no')));
        if (isTls) socket.on('session', (fresh: Buffer) => (session = fresh));
      },
      (failure: unknown) => finish(failure instanceof EgressError ? failure : new EgressError('UNREACHABLE', 'no')),
    );
  };
}

/** Every address must be allowed: one good answer must not carry a bad one that a later attempt would use. */
async function resolveChecked(options: ConnectorOptions, target: buildConnector.Options): Promise<ResolvedAddress[]> {
  const port = portOfTarget(target);
  const { hostname } = target;
  const addresses = isAddress(hostname)
    ? [{ address: hostname, family: net.isIP(hostname) }]
    : await options.lookup(hostname);
  if (addresses.length === 0) throw new EgressError('UNREACHABLE', 'no');
  for (const { address } of addresses) {
    if (!options.rules.allows(address, target.protocol, port)) throw refused();
  }
  for (const denied of options.denied) {
    if (denied.port !== port) continue;
    const hosts = isAddress(denied.host) ? [denied.host] : await addressesOf(options, denied.host);
    for (const host of hosts) {
      if (addresses.some(({ address }) => isDeniedAddress(address, host))) throw refused();
    }
  }
  return addresses;
}

/** A denied name that does not resolve makes the check impossible, so the rejection is left to refuse the connection. */
async function addressesOf(options: ConnectorOptions, name: string): Promise<string[]> {
  return (await options.lookup(name)).map(({ address }) => address);
}

function portOfTarget({ port, protocol }: buildConnector.Options): number {
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
}

function tcpOptions(target: buildConnector.Options, addresses: ResolvedAddress[]): net.TcpNetConnectOpts {
  return {
    host: target.hostname,
    port: portOfTarget(target),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
    // A name's addresses come from here, not from a second resolution; with several, Node tries them in turn.
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ATTEMPT_TIMEOUT_MS,
    lookup: (_hostname, _options, callback) => callback(null, addresses),
  };
}

function openTls(
  secureContext: tls.SecureContext,
  target: buildConnector.Options,
  addresses: ResolvedAddress[],
  session: Buffer | undefined,
): tls.TLSSocket {
  return tls.connect({
    ...tcpOptions(target, addresses),
    secureContext,
    ALPNProtocols: ['http/1.1'],
    // Stated, because NODE_TLS_REJECT_UNAUTHORIZED=0 would otherwise turn the certificate check off.
    rejectUnauthorized: true,
    // The certificate is checked against the name that was asked for, not the address; a literal has no server name.
    ...(isAddress(target.hostname) ? {} : { servername: target.hostname }),
    ...(session === undefined ? {} : { session }),
  });
}
