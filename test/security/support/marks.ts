// Which texts in an answer belong to whom: ids and marks of accounts and users. Finds the ones that a reader must not see.
import type { Identity } from './callers.ts';
import { usernames, type World } from './world.ts';

interface Mark {
  text: string;
  account: 'a' | 'b';
  /** Null: the account's own, open to all of its keys. */
  user: string | null;
}

export class Marks {
  readonly #marks: Mark[] = [];
  /** What a reader said itself may come back to it, in its history too. */
  readonly #said = new Map<string, Set<string>>();

  constructor(world: World) {
    for (const account of [world.a, world.b]) {
      const add = (text: string, user: string | null): void =>
        void this.#marks.push({ text, account: account.name, user });
      for (const text of [
        account.id,
        account.mark,
        account.ownConnector,
        account.limitId,
        account.groupId,
        account.issuerId,
        ...Object.values(account.servers).map(({ id }) => id),
      ])
        add(text, null);
      for (const username of usernames) {
        const user = account.users[username];
        for (const text of [user.id, user.keyId, user.mark, ...Object.values(user.credentials)]) add(text, username);
      }
    }
  }

  /** Remembers what this reader's request held. */
  said(identity: Identity, request: string): void {
    const readers = [this.#saidBy(identity)];
    // The keys of an account read what its users did.
    if (identity.kind === 'std') readers.push(this.#saidBy({ kind: 'adm', account: identity.account }));
    for (const { text } of this.#marks) if (request.includes(text)) for (const set of readers) set.add(text);
  }

  #saidBy(identity: Identity): Set<string> {
    const name =
      identity.kind === 'nobody'
        ? 'nobody'
        : identity.kind === 'std'
          ? `${identity.account}/${identity.user}`
          : identity.account;
    const set = this.#said.get(name) ?? new Set<string>();
    this.#said.set(name, set);
    return set;
  }

  /** Marks in the text that this reader must not see. `as` narrows a reader who acts for one user. */
  foreign(identity: Identity, text: string, as?: string): string[] {
    const said = this.#saidBy(identity);
    return this.#marks
      .filter((mark) => !this.#isOpen(mark, identity, as) && text.includes(mark.text) && !said.has(mark.text))
      .map(({ text: found, account, user }) => `${found} of ${user ?? 'the account'} in ${account}`);
  }

  #isOpen(mark: Mark, identity: Identity, as: string | undefined): boolean {
    if (identity.kind === 'nobody' || mark.account !== identity.account) return false;
    if (mark.user === null) return true;
    if (as !== undefined) return mark.user === as;
    return identity.kind === 'std' ? mark.user === identity.user : true;
  }
}
