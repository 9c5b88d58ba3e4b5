// Random actions of one caller after another, and for each the rows that it must leave in trail and journal: the model of AUD-1, by hand.
// Asks no table of the gateway and shares no code with what writes them.
import { mintToken } from '../../../packages/server/src/crypto/token.ts';
import type { Json, Rig } from '../../support/gateway.ts';
import { randomFrom } from './random.ts';

export interface Row {
  table: 'event' | 'call';
  account: 'home' | '_system';
  [field: string]: unknown;
}
interface Person {
  id: string;
  enabled: boolean;
  blocked: boolean;
  key: { id: string; text: string };
  secrets: Set<string>;
}

/** What all lanes share. */
export interface Model {
  rig: Rig;
  adminKeyId: string;
  seed: number;
  sent: number;
  /** What each request must have left. */
  expected: Map<string, Row[]>;
  /** Calls whose upstream was not heard in time because the machine stood still: no model foretells it, one row at most tells it. */
  stalled: Set<string>;
}

/** One after another, over users of its own; several lanes at a time. */
export class Lane {
  readonly #model: Model;
  readonly #name: string;
  readonly #random: ReturnType<typeof randomFrom>;
  readonly #people = new Map<string, Person>();
  readonly #revoked: { id: string; text: string }[] = [];
  #made = 0;

  constructor(model: Model, number: number) {
    this.#model = model;
    this.#name = `l${number}`;
    this.#random = randomFrom(model.seed + number);
  }

  async #send(path: string, request: Parameters<Rig['send']>[1], status: number, rows: (body: Json) => Row[]) {
    const id = `${this.#name}-${this.#model.sent++}`;
    // Addresses enough that no source is a flood; one test address is.
    const from = `10.${this.#random.below(250)}.${this.#random.below(250)}.${this.#random.below(250)}`;
    const answer = await this.#model.rig.send(path, {
      ...request,
      headers: { 'x-request-id': id, 'x-forwarded-for': from, ...request?.headers },
    });
    if (answer.status === 504) return void this.#model.stalled.add(id);
    if (answer.status !== status)
      throw new Error(`${path} ${JSON.stringify(request?.body)}: ${answer.status} ${answer.text}`);
    this.#model.expected.set(id, rows(answer.body));
    return answer.body;
  }

  #event(action: string, outcome: 'ok' | 'refused', fields: Partial<Row> = {}): Row {
    return {
      table: 'event',
      account: 'home',
      key: this.#model.adminKeyId,
      kind: 'adm',
      actor: null,
      action,
      outcome,
      user: null,
      attempted: null,
      target: null,
      reason: null,
      ...fields,
    };
  }
  #call(outcome: string, fields: Partial<Row>): Row {
    return {
      table: 'call',
      account: 'home',
      key: this.#model.adminKeyId,
      kind: 'adm',
      outcome,
      connector: 'open',
      attempted: null,
      reason: null,
      ...fields,
    };
  }
  #as(person: Person): Partial<Row> {
    return { key: person.key.id, kind: 'std', actor: person.id };
  }
  #someone(): [string, Person] {
    return this.#random.pick([...this.#people]);
  }
  #manage(
    method: string,
    path: string,
    body: unknown,
    status: number,
    rows: (body: Json) => Row[],
    key = this.#model.rig.admin,
  ) {
    return this.#send(path, { method, key, body }, status, rows);
  }

  async createUser(): Promise<void> {
    const name = `${this.#name}-u${this.#made++}`;
    const made = await this.#manage('POST', '/users', { username: name }, 201, (body) => [
      this.#event('user.create', 'ok', { target: name, user: body.user_id }),
    ]);
    const key = await this.#manage('POST', `/users/${name}/keys`, { key_name: 'k' }, 201, (body) => [
      this.#event('api_key.create', 'ok', { target: body.key_id, user: made.user_id }),
    ]);
    this.#people.set(name, {
      id: made.user_id,
      enabled: true,
      blocked: false,
      key: { id: key.key_id, text: key.api_key },
      secrets: new Set(),
    });
  }

  readonly #kinds: Record<string, () => Promise<unknown>> = {
    createUser: () => this.createUser(),
    createAgain: () => {
      const [name] = this.#someone();
      return this.#manage('POST', '/users', { username: name }, 409, () => [
        this.#event('user.create', 'refused', { target: name, reason: 'CONFLICT' }),
      ]);
    },
    createBadly: () =>
      this.#manage('POST', '/users', { username: 'usr_mine' }, 400, () => [
        this.#event('user.create', 'refused', { reason: 'INVALID_REQUEST' }),
      ]),
    createAsStandard: () => {
      const person = this.#enabled();
      return this.#manage(
        'POST',
        '/users',
        { username: 'x' },
        403,
        () => [this.#event('user.create', 'refused', { ...this.#as(person), reason: 'kind_not_allowed' })],
        person.key.text,
      );
    },
    toggle: () => {
      const [name, person] = this.#someone();
      person.enabled = !person.enabled;
      return this.#manage('PATCH', `/users/${name}/enable`, { enabled: person.enabled }, 200, () => [
        this.#event('user.set_enabled', 'ok', { target: name, user: person.id }),
      ]);
    },
    toggleNobody: () =>
      this.#manage('PATCH', '/users/nobody-here/enable', {}, 404, () => [
        this.#event('user.set_enabled', 'refused', { target: 'nobody-here', reason: 'USER_NOT_FOUND' }),
      ]),
    block: () => {
      const [name, person] = this.#someone();
      person.blocked = !person.blocked;
      return this.#manage(
        'PUT',
        `/users/${name}/mcp-access`,
        { blocked_mcps: person.blocked ? ['open'] : [] },
        200,
        () => [this.#event('user.set_access', 'ok', { target: name, user: person.id })],
      );
    },
    setSecret: () => {
      const [name, person] = this.#someone();
      const secret = this.#random.pick(['ONE', 'TWO', 'THREE']);
      person.secrets.add(secret);
      const body = { username: name, serverName: 'open', secretName: secret, secretValue: `value-${this.#model.sent}` };
      return this.#manage('POST', '/secrets/set', body, 200, () => [
        this.#event('secret.set', 'ok', { target: `open/${secret}`, user: person.id }),
      ]);
    },
    deleteSecret: () => {
      const [name, person] = this.#someone();
      const secret = this.#random.pick(['ONE', 'TWO', 'THREE']);
      const was = person.secrets.delete(secret);
      const row = was
        ? this.#event('secret.delete', 'ok', { target: `open/${secret}`, user: person.id })
        : this.#event('secret.delete', 'refused', { target: `open/${secret}`, user: person.id, reason: 'NOT_FOUND' });
      return this.#manage(
        'POST',
        '/secrets/delete',
        { username: name, serverName: 'open', secretName: secret },
        was ? 200 : 404,
        () => [row],
      );
    },
    replaceKey: async () => {
      const [name, person] = this.#someone();
      const old = person.key;
      await this.#manage('DELETE', `/api/keys/${old.id}`, undefined, 200, () => [
        this.#event('api_key.revoke', 'ok', { target: old.id, user: person.id }),
      ]);
      this.#revoked.push(old);
      const made = await this.#manage('POST', `/users/${name}/keys`, { key_name: 'k' }, 201, (body) => [
        this.#event('api_key.create', 'ok', { target: body.key_id, user: person.id }),
      ]);
      person.key = { id: made.key_id, text: made.api_key };
    },
    read: () => this.#send(`/users/${this.#someone()[0]}`, { key: this.#model.rig.admin }, 200, () => []),
    readEvents: () => this.#send('/api/audit?limit=5', { key: this.#model.rig.admin }, 200, () => []),

    signInUnknown: () => this.#refusedSignIn({ key: mintToken('std').token }, 'unknown_token'),
    signInMissing: () => this.#refusedSignIn({}, 'no_credential'),
    signInMalformed: () => this.#refusedSignIn({ key: 'mcpv_std_nonsense' }, 'malformed_token'),
    signInRevoked: () => {
      const old = this.#random.pick(this.#revoked);
      return old === undefined ? this.createUser() : this.#refusedSignIn({ key: old.text }, 'revoked_token', old.id);
    },
    signInDisabled: () => {
      const person = [...this.#people.values()].find(({ enabled }) => !enabled);
      return person === undefined
        ? this.createUser()
        : this.#send('/api/me', { key: person.key.text }, 403, () => [this.#signIn('user_disabled', person.key.id)]);
    },

    callFor: () => {
      const [name, person] = this.#someone();
      return this.#callAs(this.#model.rig.admin, name, person, {});
    },
    callOwn: () => {
      const person = this.#enabled();
      return this.#callAs(person.key.text, undefined, person, this.#as(person));
    },
    callUnknown: () =>
      this.#toolCall(this.#model.rig.admin, { username: 'nobody-here', methodName: 'echo' }, 404, () => [
        this.#event('user.override', 'refused', { attempted: 'nobody-here', reason: 'USER_NOT_FOUND' }),
      ]),
    callOther: () => {
      const person = this.#enabled();
      const [other, { id }] = this.#someone();
      if (id === person.id) return this.createUser();
      return this.#toolCall(person.key.text, { username: other, methodName: 'echo' }, 403, () => [
        this.#event('user.override', 'refused', {
          ...this.#as(person),
          attempted: other,
          reason: 'override_not_allowed',
        }),
      ]);
    },
    secretOfOther: () => {
      const person = this.#enabled();
      const [other, { id }] = this.#someone();
      if (id === person.id) return this.createUser();
      const body = { username: other, serverName: 'open', secretName: 'ONE', secretValue: 'mine' };
      return this.#manage(
        'POST',
        '/secrets/set',
        body,
        403,
        () => [
          this.#event('secret.set', 'refused', {
            ...this.#as(person),
            target: 'open/ONE',
            attempted: other,
            reason: 'other_user',
          }),
        ],
        person.key.text,
      );
    },
  };

  #signIn(reason: string, keyId: string | null): Row {
    return this.#event('auth.sign_in', 'refused', {
      account: keyId === null ? '_system' : 'home',
      key: keyId,
      kind: keyId === null ? null : 'std',
      reason,
    });
  }
  #refusedSignIn(request: { key?: string }, reason: string, keyId: string | null = null) {
    return this.#send('/users', request, 401, () => [this.#signIn(reason, keyId)]);
  }
  #enabled(): Person {
    return [...this.#people.values()].find(({ enabled }) => enabled) as Person;
  }
  #toolCall(key: string, call: Record<string, unknown>, status: number, rows: () => Row[]) {
    return this.#send('/mcp/tool/call', { key, body: { serverName: 'open', ...call } }, status, rows);
  }
  #callAs(key: string, name: string | undefined, person: Person, as: Partial<Row>) {
    const attempted = name ?? null;
    const who = { ...(as.key === undefined ? {} : { key: as.key, kind: as.kind }), user: person.id, attempted };
    const fails = this.#random.below(4) === 0;
    const methodName = fails ? 'fail' : 'echo';
    const call = {
      ...(name !== undefined && { username: name }),
      methodName,
      args: fails ? { message: 'no' } : { text: 'hi' },
    };
    if (!person.enabled)
      return this.#toolCall(key, call, 403, () => [
        this.#event('user.override', 'refused', { ...as, attempted, reason: 'user_disabled' }),
      ]);
    if (!person.blocked)
      return this.#toolCall(key, call, 200, () => [
        this.#call(fails ? 'tool_error' : 'ok', { ...who, tool: methodName }),
      ]);
    const reason = 'connector_not_for_user';
    return this.#toolCall(key, call, 403, () => [
      this.#event('call.refuse', 'refused', {
        ...as,
        user: person.id,
        attempted,
        target: `open.${methodName}`,
        reason,
      }),
      this.#call('refused', { ...who, tool: methodName, reason }),
    ]);
  }

  async run(until: number): Promise<void> {
    await this.createUser();
    await this.createUser();
    const names = Object.keys(this.#kinds);
    while (this.#model.sent < until) {
      // Somebody must be able to act.
      if (this.#enabled() === undefined) await this.createUser();
      await this.#kinds[this.#random.pick(names)]?.();
    }
  }
}
