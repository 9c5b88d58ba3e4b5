// Pure: whether a browser may be sent to an address after a sign-in. Addresses are compared character by character, so they are kept as sent.

/** Why the address is refused, or undefined. */
export function redirectUriProblem(text: string): string | undefined {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return 'Is not a URL';
  }
  // The parser removes these, a comparison as text would not: what is checked must be what is sent.
  if (/[\s\p{Cc}\\]/u.test(text)) return 'Has white space, a control character or a backslash';
  if (text.includes('#')) return 'Has a fragment';
  if (url.username !== '' || url.password !== '' || /^[a-z]+:\/\/[^/?]*@/i.test(text))
    return 'Has a user name or password';
  if (!/^https?:\/\/[^/]/i.test(text)) return 'Must begin with https://';
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) return 'Must use https; http only on loopback hosts';
  return undefined;
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
