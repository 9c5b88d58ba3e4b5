// Pure: the pages of a sign-in, as text. No scripts and nothing from elsewhere; every value is escaped where it is put in. Before a person
// is proven, a page says nothing about user, connector or account. What a page may do besides stands in its `formAction`.
import { createHash } from 'node:crypto';

export interface Page {
  status: number;
  html: string;
  /** Where a form of this page may lead, redirects included: sources of CSP `form-action` besides the gateway itself. */
  formAction: readonly string[];
}

const style = `
:root { color-scheme: light dark; --ink: #16181d; --soft: #5b6170; --line: #d9dce3; --page: #f4f5f7; --card: #fff; --go: #1f5eff; --go-ink: #fff; --bad: #b42318; --bad-page: #fef3f2; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceef3; --soft: #a3a9b8; --line: #343945; --page: #111318; --card: #1a1d24; --go: #7aa2ff; --go-ink: #0c1220; --bad: #ff9b8f; --bad-page: #2b1816; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px 16px; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { width: 100%; max-width: 440px; background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 32px; box-shadow: 0 1px 2px rgb(0 0 0 / 6%), 0 8px 24px rgb(0 0 0 / 6%); }
.brand { margin: 0 0 20px; font-size: 14px; font-weight: 600; color: var(--soft); }
h1 { margin: 0 0 12px; font-size: 22px; line-height: 1.25; }
p { margin: 0 0 16px; }
.soft { color: var(--soft); font-size: 14px; }
.bad { background: var(--bad-page); color: var(--bad); border-radius: 8px; padding: 10px 12px; }
dl { margin: 0 0 20px; border: 1px solid var(--line); border-radius: 10px; }
dl div { padding: 10px 14px; display: grid; grid-template-columns: 9em 1fr; gap: 8px; }
dl div + div { border-top: 1px solid var(--line); }
dt { color: var(--soft); font-size: 14px; }
dd { margin: 0; overflow-wrap: anywhere; }
ul { margin: 0; padding-left: 1.1em; }
code { font: 14px/1.5 ui-monospace, SFMono-Regular, Menlo, monospace; }
label { display: block; margin: 0 0 6px; font-weight: 600; font-size: 14px; overflow-wrap: anywhere; }
input { width: 100%; margin: 0 0 16px; padding: 10px 12px; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 8px; }
button { width: 100%; padding: 12px 16px; font: inherit; font-weight: 600; color: var(--go-ink); background: var(--go); border: 0; border-radius: 8px; cursor: pointer; }
:focus-visible { outline: 3px solid var(--go); outline-offset: 2px; }
footer { margin-top: 20px; }
`;

/** The one style of all pages, by its hash: nothing else may style them, and nothing at all may run in them. */
export const styleSource = `'sha256-${createHash('sha256').update(style).digest('base64')}'`;

const named: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
/** Text or a quoted attribute. Control characters and changes of writing direction could make a name look like another one. */
export const escaped = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}]/gu, '\ufffd').replace(/[&<>"']/g, (found) => named[found] as string);

/**
 * The header says `no-referrer`; on a page with a form that would make browsers send `Origin: null` with it, which the gateway refuses.
 * `same-origin` tells other sites as little, and lets the form say where it comes from.
 */
const formReferrer = '<meta name="referrer" content="same-origin">';

function page(status: number, title: string, body: string, formAction?: readonly string[]): Page {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${formAction === undefined ? '' : `${formReferrer}\n`}<title>${escaped(title)} · MCP Valet</title>
<style>${style}</style>
</head>
<body>
<main>
<p class="brand">MCP Valet</p>
<h1>${escaped(title)}</h1>
${body}
</main>
</body>
</html>
`;
  return { status, html, formAction: formAction ?? [] };
}

const hidden = (name: string, value: string): string =>
  `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`;
const warning = (text: string | undefined): string =>
  text === undefined ? '' : `<p class="bad" role="alert">${escaped(text)}</p>\n`;

/** The same for a link that never was, that was used, that is void and that is too old. */
export const endedPage = (): Page =>
  page(
    404,
    'This link has ended',
    '<p>It was used, replaced or is too old. Go back to where you came from and start again; you will get a new one.</p>',
  );

/** For whoever was proven to be somebody else, or not to be the user of the link. Says nothing of either. */
export const forbiddenPage = (): Page =>
  page(
    403,
    'This link is not for you',
    '<p>Open the link in the browser in which you asked for it, signed in as yourself.</p>',
  );

export const brokenPage = (status: number, requestId: string): Page =>
  page(
    status,
    status === 503 ? 'Not available right now' : 'This did not work',
    `<p>Nothing was changed. Please try again in a moment.</p>
<footer class="soft">Request <code>${escaped(requestId)}</code></footer>`,
  );

export interface SignInFacts {
  csrf: string;
  problem?: string | undefined;
}

/** Asks who is there. */
export const signInPage = ({ csrf, problem }: SignInFacts): Page =>
  page(
    problem === undefined ? 200 : 403,
    'Sign in to continue',
    `${warning(problem)}<p>To connect an account, show that this link is yours.</p>
<form method="post">
${hidden('step', 'sign-in')}${hidden('csrf', csrf)}
<label for="key">Your own API key</label>
<input id="key" name="key" type="password" autocomplete="off" spellcheck="false" required autofocus aria-describedby="key-help">
<p class="soft" id="key-help">It is checked and not kept. Coming from an app? Start there again: it can sign you in for you.</p>
<button type="submit">Continue</button>
</form>`,
    [],
  );

export interface ConsentFacts {
  csrf: string;
  username: string;
  connector: string;
  label: string | null;
  /** Host of the sign-in service. */
  host: string;
  scopes: readonly string[];
  /** What else a redirect of the form may lead to, when the service is not on https. */
  insecureOrigin: string | undefined;
}

/** What will happen, before it does. */
export const consentPage = (facts: ConsentFacts): Page =>
  page(
    200,
    `Connect ${facts.connector}`,
    `<dl>
<div><dt>Signed in as</dt><dd>${escaped(facts.username)}</dd></div>
<div><dt>Connects</dt><dd>${escaped(facts.connector)}${facts.label === null ? '' : ` (${escaped(facts.label)})`}</dd></div>
<div><dt>You continue at</dt><dd>${escaped(facts.host)}</dd></div>
<div><dt>Access asked for</dt><dd>${scopeList(facts.scopes)}</dd></div>
</dl>
<p class="soft">You sign in there, not here. What it grants is kept encrypted and used for your calls only.</p>
<form method="post">
${hidden('step', 'consent')}${hidden('csrf', facts.csrf)}
<button type="submit">Continue to ${escaped(facts.host)}</button>
</form>
<footer class="soft">Not you, or not what you wanted? Close this page; nothing is connected.</footer>`,
    // Browsers hold a form to this also where redirects lead on, and sign-in services lead on to further hosts.
    ['https:', ...(facts.insecureOrigin === undefined ? [] : [facts.insecureOrigin])],
  );

function scopeList(scopes: readonly string[]): string {
  if (scopes.length === 0) return 'What the service gives by default';
  return `<ul>${scopes.map((scope) => `<li><code>${escaped(scope)}</code></li>`).join('')}</ul>`;
}

export interface SecretsFacts {
  csrf: string;
  username: string;
  connector: string;
  names: readonly string[];
  problem?: string | undefined;
  /** Where the browser goes afterwards. */
  returnOrigin: string | undefined;
}

/** The form of a connector that has keys instead of a sign-in. Fields are numbered: a secret's name must not become a form's. */
export const secretsPage = (facts: SecretsFacts): Page =>
  page(
    facts.problem === undefined ? 200 : 400,
    `Connect ${facts.connector}`,
    `${warning(facts.problem)}<dl>
<div><dt>Signed in as</dt><dd>${escaped(facts.username)}</dd></div>
<div><dt>Connects</dt><dd>${escaped(facts.connector)}</dd></div>
</dl>
<form method="post">
${hidden('step', 'secrets')}${hidden('csrf', facts.csrf)}
${facts.names
  .map(
    (name, index) => `<label for="f${index}">${escaped(name)}</label>
<input id="f${index}" name="secret-${index}" type="password" autocomplete="off" spellcheck="false" required>`,
  )
  .join('\n')}
<p class="soft">Kept encrypted, never shown again, and sent only with your own calls.</p>
<button type="submit">Connect</button>
</form>`,
    facts.returnOrigin === undefined ? [] : [facts.returnOrigin],
  );

export const connectedPage = (connector: string): Page =>
  page(200, `${connector} is connected`, '<p>You can close this page and go back to where you came from.</p>');

const failures = {
  access_denied: ['Nothing was connected', 'The sign-in service says that access was not given.'],
  another_account: [
    'This is another account',
    'You signed in there with another account than the one that is connected here. Nothing was changed. Sign in with the same account, or delete the credential first.',
  ],
  provider_unreachable: ['The sign-in service did not answer', 'Nothing was changed. Please try again later.'],
  provider_error: [
    'The sign-in did not work',
    'The sign-in service gave an answer that cannot be used. Nothing was changed.',
  ],
  link_ended: ['This link has ended', 'Something was changed while you were away. Nothing was connected.'],
} as const;

/** Each failure that a sign-in may end with, in words for the person in front of it. */
export function failedPage(error: keyof typeof failures): Page {
  const [title, text] = failures[error];
  return page(
    error === 'provider_unreachable' ? 502 : 400,
    title,
    `<p>${escaped(text)}</p>
<p class="soft">Go back to where you came from and start again; you will get a new link.</p>`,
  );
}
