// Whom a request acts for, and what of it must be on record: the contract's section 2, security.md 4.3 and the rulings as a function. The
// oracle of the override model: written from those pages, and importing nothing of the gateway.

export interface ModelUser {
  id: string;
  username: string;
  enabled: boolean;
}
export type AccountName = 'home' | 'other';

/** What stands in Authorization or in the path. */
export type Credential =
  | { is: 'none' | 'other-scheme' | 'dead' | 'disabled-owner' }
  | {
      is: 'key';
      kind: 'adm' | 'ent' | 'std' | 'usr';
      account: AccountName;
      user: string | null;
      mayName?: string[];
      servers?: string[];
    }
  | { is: 'key'; kind: 'url'; account: AccountName; server: string; acts: boolean; owner: string | null }
  | { is: 'user-token'; token: UserToken };
/** Whom a user token of an account's issuer proves: a user, nobody that is known (null), or nothing. */
export type UserToken = { account: AccountName; user: string | null } | 'bad';

export interface ModelServer {
  account: AccountName;
  onUnknown: 'reject' | 'fallback';
  /** Usernames that it admits; null: all. */
  users: string[] | null;
}

/** One request, as its sender means it. Names are as the gateway receives them. */
export interface Case {
  /** A server's name, `missing`, the aggregate endpoint or the direct tool call. */
  at: string;
  credential: Credential;
  /** Whether the credential stands in the path. */
  inPath: boolean;
  /** An Authorization header beside the token in the path. */
  twoPlaces: boolean;
  /** `x-alloy-user-token`. */
  userToken: UserToken | undefined;
  header: string | undefined;
  body: string | undefined;
  /** A header of identity that was sent twice. */
  doubled: boolean;
  strict: boolean;
  /** For the aggregate endpoint. */
  onUnknown: 'reject' | 'fallback';
  /** A call, which the journal tells of; or a list, which it does not. */
  isCall: boolean;
  /** A call of a tool that is not there: it is planned for the user, and no journal tells of it. */
  namesNoTool: boolean;
}

export interface Row {
  book: 'trail' | 'journal';
  action: string;
  outcome: string;
  userId: string | null;
  attempted: string | null;
}
export interface Expected {
  /** `runs`, or the code of the refusal. */
  result: string;
  /** Of the effective user. */
  userId?: string;
  fallback?: boolean;
  /** Refusals of the sign-in, which belong to no account. */
  signIns: number;
  rows: Row[];
}

export interface ModelWorld {
  users: Record<AccountName, readonly ModelUser[]>;
  servers: Record<string, ModelServer>;
}

const halfOfCharacter = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** What of a name is kept: 128 characters, with nothing in it that a terminal or a database would choke on. */
export function kept(text: string): string {
  let shown = '';
  for (const unit of Array.from({ length: Math.min(text.length, 128) }, (_, i) => text.charAt(i))) {
    const code = unit.charCodeAt(0);
    const isControl = code < 0x20 || (code >= 0x7f && code <= 0x9f) || code === 0x2028 || code === 0x2029;
    const turnsText = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    shown += isControl || turnsText ? `\\u${code.toString(16).padStart(4, '0')}` : unit;
  }
  // Halves of characters only: a whole one is two units that belong together.
  return shown.replace(new RegExp(halfOfCharacter, 'g'), (half) => `\\u${half.charCodeAt(0).toString(16)}`);
}

/** The grammar of usernames and ids. */
export const isName = (text: string): boolean =>
  text.length >= 1 &&
  text.length <= 128 &&
  /^[A-Za-z0-9]/.test(text) &&
  ![...text].some((c) => !/[A-Za-z0-9._:@+|-]/.test(c));

class Refused extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

interface Who {
  account: AccountName;
  /** The credential's own user. */
  own: string | null;
  acts: boolean;
  /** Whom it may act for; null: everybody of the account. */
  mayName: string[] | null;
  /** Where it may call; null: everywhere. */
  servers: string[] | null;
  proven: ModelUser | null;
}

export function expectedOf(world: ModelWorld, asked: Case): Expected {
  const { at } = asked;
  const isRest = at === 'rest';
  const find = (account: AccountName, ref: string): ModelUser | undefined =>
    isName(ref) ? world.users[account].find((user) => user.username === ref || user.id === ref) : undefined;
  const nothing = (result: string, signIns: number): Expected => ({ result, signIns, rows: [] });

  // Exactly one identity, and each header of it once: anything else is no request to anybody.
  if (asked.doubled || asked.twoPlaces || asked.credential.is === 'other-scheme') return nothing('INVALID_REQUEST', 0);
  let who: Who;
  try {
    who = signIn(asked);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return nothing(error.code, error.code === 'INVALID_REQUEST' ? 0 : 1);
  }
  function proves(token: UserToken, account: AccountName | undefined): ModelUser & { account: AccountName } {
    if (token === 'bad') throw new Refused('UNAUTHORIZED');
    // Another account's issuer is nobody here.
    if (account !== undefined && token.account !== account) throw new Refused('UNAUTHORIZED');
    if (token.user === null) throw new Refused('USER_NOT_FOUND');
    const user = find(token.account, token.user) as ModelUser;
    if (!user.enabled) throw new Refused('USER_DISABLED');
    return { ...user, account: token.account };
  }
  function signIn({ credential, inPath, userToken }: Case): Who {
    const alone = { acts: false, mayName: null, servers: null };
    switch (credential.is) {
      case 'none': {
        if (userToken === undefined) throw new Refused('UNAUTHORIZED');
        const proven = proves(userToken, undefined);
        return { ...alone, account: proven.account, own: proven.username, proven };
      }
      case 'user-token': {
        const proven = proves(credential.token, undefined);
        if (userToken !== undefined) throw new Refused('INVALID_REQUEST');
        return { ...alone, account: proven.account, own: proven.username, proven };
      }
      case 'dead':
      case 'other-scheme':
        throw new Refused('UNAUTHORIZED');
      case 'disabled-owner':
        throw new Refused('USER_DISABLED');
      case 'key': {
        const isUrl = credential.kind === 'url';
        // Only a server's own token is good in a path, and only there.
        if (inPath && !isUrl) throw new Refused('UNAUTHORIZED');
        const { account } = credential;
        const proven = userToken === undefined ? null : proves(userToken, account);
        if (isUrl && isRest) throw new Refused('FORBIDDEN');
        if (isUrl && !inPath) throw new Refused('UNAUTHORIZED');
        return {
          account,
          own: isUrl ? credential.owner : credential.user,
          acts: isUrl ? credential.acts : credential.kind === 'adm' || credential.kind === 'ent',
          mayName: isUrl ? null : (credential.mayName ?? null),
          servers: isUrl ? null : (credential.servers ?? null),
          proven,
        };
      }
    }
  }

  const server = isRest || at === 'aggregate' ? null : world.servers[at];
  const { credential } = asked;
  // A token of another server is as good as none; a server of nobody and one of another account are the same.
  if (credential.is === 'key' && credential.kind === 'url' && credential.server !== at)
    return nothing('UNAUTHORIZED', 0);
  if (server === undefined || (server !== null && server.account !== who.account)) return nothing('NOT_FOUND', 0);

  // A body that is no well-formed text is none: nothing of it can be believed.
  if (isRest && asked.body !== undefined && (asked.body.includes('\u0000') || halfOfCharacter.test(asked.body)))
    return nothing('INVALID_REQUEST', 0);
  const named = asked.header ?? asked.body;
  const attempted = named === undefined ? null : kept(named);
  try {
    if (isRest && asked.body !== undefined && !isName(asked.body)) throw new Refused('MALFORMED_BODY');
    const { user, fallback } = act();
    if (server?.users && !server.users.includes(user.username)) throw new Refused('FORBIDDEN');
    if (who.servers !== null && !who.servers.includes(at)) throw new Refused('FORBIDDEN');
    const rows: Row[] = [];
    const row = { outcome: 'ok', userId: user.id, attempted };
    if (asked.isCall && asked.namesNoTool) {
      if (attempted !== null) rows.push({ book: 'trail', action: 'user.override', ...row });
      return { result: 'NOT_FOUND', signIns: 0, rows };
    }
    if (asked.isCall) rows.push({ book: 'journal', action: 'call', ...row });
    if (attempted !== null && (!asked.isCall || fallback))
      rows.push({ book: 'trail', action: 'user.override', ...row });
    return { result: 'runs', userId: user.id, fallback, signIns: 0, rows };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // A proven user beside somebody else's credential is a name like any other.
    const contradicts = who.proven !== null && !who.acts && who.proven.username !== who.own;
    const isMalformed = error.code === 'MALFORMED_BODY';
    const name = isMalformed
      ? kept(asked.body as string)
      : (attempted ?? (contradicts ? (who.proven as ModelUser).id : null));
    const action = name === null ? 'call.refuse' : 'user.override';
    const refusal: Row = { book: 'trail', action, outcome: 'refused', userId: null, attempted: name };
    return { result: isMalformed ? 'INVALID_REQUEST' : error.code, signIns: 0, rows: [refusal] };
  }

  function act(): { user: ModelUser; fallback: boolean } {
    if (asked.header !== undefined && asked.body !== undefined && asked.header !== asked.body) {
      const [a, b] = [find(who.account, asked.header), find(who.account, asked.body)];
      if (a === undefined || a !== b) throw new Refused('INVALID_REQUEST');
    }
    const usable = (user: ModelUser | undefined): ModelUser => {
      if (user === undefined) throw new Refused('USER_NOT_FOUND');
      if (!user.enabled) throw new Refused('USER_DISABLED');
      if (who.acts && who.mayName !== null && !who.mayName.includes(user.username)) throw new Refused('FORBIDDEN');
      return user;
    };
    const unnamed = (): ModelUser => {
      if (who.proven !== null && !who.acts && who.proven.username !== who.own) throw new Refused('FORBIDDEN');
      if (who.proven !== null) return usable(find(who.account, who.proven.username));
      return usable(find(who.account, who.acts || who.own === null ? 'default' : who.own));
    };
    if (named === undefined) return { user: unnamed(), fallback: false };
    const user = find(who.account, named);
    if (!who.acts || who.proven !== null) {
      const own = unnamed();
      if (user?.id !== own.id) throw new Refused('FORBIDDEN');
      return { user: own, fallback: false };
    }
    if (user !== undefined) return { user: usable(user), fallback: false };
    const onUnknown = isRest ? 'reject' : (server?.onUnknown ?? asked.onUnknown);
    if (onUnknown === 'reject' || asked.strict) throw new Refused('USER_NOT_FOUND');
    return { user: unnamed(), fallback: true };
  }
}
