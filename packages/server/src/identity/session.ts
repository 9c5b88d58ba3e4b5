// The dashboard's cookie as a credential: read only together with a header that no form and no foreign page can send, from our own origin.
// Also what a person's session rests on. Pure. What the session stands for is looked up elsewhere.
import type { IncomingHttpHeaders } from 'node:http';
import { headers as names } from '@mcp-valet/shared';
import type { AdminOidc } from '../config.ts';
import { Refusal } from '../refusal.ts';

/** `__Host-`: browsers take it only with Secure and without Domain, so no neighbouring host can plant one. */
export const sessionCookie = '__Host-valet_session';
const cookieText = /^[A-Za-z0-9_-]{43}$/;

const forbidden = (message: string, reason: string): Refusal => new Refusal('FORBIDDEN', message, { reason });

const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Throws FORBIDDEN unless the request comes from a page of this gateway and says that it means to. */
export function assertOwnPage(headers: IncomingHttpHeaders, publicUrl: string): void {
  if (headers[names.session] !== '1') {
    throw forbidden(`A session is good only with the header ${names.session}: 1`, 'session_header_missing');
  }
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') throw forbidden('Only the dashboard may do this', 'cross_origin');
  // Browsers send Origin with everything that changes something, and Sec-Fetch-Site with the rest.
  if (origin === undefined) {
    if (site === undefined) throw forbidden('Only the dashboard may do this', 'origin_missing');
    return;
  }
  const from = URL.canParse(origin) ? new URL(origin) : undefined;
  const isOurs =
    from !== undefined &&
    (from.origin === new URL(publicUrl).origin ||
      (from.host === host?.toLowerCase() && (from.protocol === 'https:' || loopback.has(from.hostname))));
  if (!isOurs) throw forbidden('Only the dashboard may do this', 'cross_origin');
}

/** The text of this cookie of ours; undefined when there is none, or none that we made. */
export function cookieOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const found = (headers.cookie ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  // Two of one name: one of them is not ours, and which one cannot be told.
  const [text] = found;
  return found.length === 1 && text !== undefined && cookieText.test(text) ? text : undefined;
}

/** The text of the session's cookie; undefined when there is none. Throws FORBIDDEN when it did not come from our own page. */
export function sessionOf(headers: IncomingHttpHeaders, publicUrl: string): string | undefined {
  const text = cookieOf(headers, sessionCookie);
  if (text !== undefined) assertOwnPage(headers, publicUrl);
  return text;
}

/** A line of the operator's list as a session keeps it: of this issuer, into this account. Under another one it says nothing. */
export const admittingLine = ({ issuer, account }: AdminOidc, line: string): string =>
  JSON.stringify([issuer, account, line]);

/** Whether the list of now still has a line that let somebody in. */
export const isStillAdmitted = (by: readonly string[], settings: AdminOidc | undefined): boolean =>
  settings?.allow.some((line) => by.includes(admittingLine(settings, line))) ?? false;
