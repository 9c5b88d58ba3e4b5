// Named secrets: our field names onto the seed routes' (`connector` is `serverName` there). Values go one way.
import { contract, type SecretInfo } from '@mcp-valet/shared';
import type { Call, List } from './call.ts';
import { ValidationError } from './errors.ts';
import type { CallOptions } from './options.ts';
import { checkUserId } from './paths.ts';
import { isRecord } from './respond.ts';
import { type RouteArguments, routeCall, routeList } from './route-call.ts';
import { revealed, type Secret } from './secret.ts';
import type { Transport } from './transport.ts';

/** Whose secret it is. */
interface Of {
  /** A username or `usr_` id. */
  userId: string;
}

/** Which secret. Fields are named because positional strings let name and value swap, and a name may be logged. */
export interface SecretAddress {
  /** Id of the connector it belongs to. It never reaches another one. */
  connector: string;
  /** Its name, which is also what a connector's templates name. */
  name: string;
}

interface SecretsOf<U> {
  /** Stores a secret of the user for the connector; an existing one is replaced. Throws NotFoundError when there is no such connector. */
  set(params: U & SecretAddress & { value: string | Secret }, options?: CallOptions): Call<SecretInfo>;
  /** Names, versions and fingerprints of a user's secrets for a connector; never values. Throws NotFoundError when there is no such user. */
  list(params: U & Pick<SecretAddress, 'connector'>, options?: CallOptions): List<SecretInfo>;
  /** Deletes it. Throws NotFoundError when there is none. */
  delete(params: U & SecretAddress, options?: CallOptions): Call<void>;
}

/** Named secrets of users. */
export type Secrets = SecretsOf<Of>;
/** Named secrets of one user. */
export type UserSecrets = SecretsOf<unknown>;

/** Of whom: named with every call, or one user, or the key's own user. */
export type Owner = 'named' | 'self' | { userId: string };

function ownerOf(owner: Owner, params: Record<string, unknown>): string | undefined {
  if (owner === 'self') return undefined;
  return owner === 'named' ? checkUserId(params['userId']) : owner.userId;
}

function checkText(params: Record<string, unknown>, field: 'connector' | 'name' | 'value'): string | Secret {
  const value = params[field];
  // A Secret stays one: it is put in clear only when the body is written.
  if (field === 'value' ? revealed(value) : typeof value === 'string' && value !== '') return value as string | Secret;
  throw new ValidationError({ message: `${field} must be a non-empty string`, path: field });
}

export function makeSecrets(transport: Transport, owner: Owner): Secrets & UserSecrets {
  const { set, list, delete: remove } = contract.secrets;
  const given =
    (fields: readonly ('name' | 'value')[], params: unknown, options: CallOptions | undefined) =>
    (): RouteArguments => {
      if (!isRecord(params)) throw new ValidationError({ message: 'The parameters must be an object', path: 'params' });
      const userId = ownerOf(owner, params);
      const input = {
        ...(userId !== undefined && { username: userId }),
        serverName: checkText(params, 'connector'),
        ...(fields.includes('name') && { secretName: checkText(params, 'name') }),
        ...(fields.includes('value') && { secretValue: checkText(params, 'value') }),
      };
      return { input, options, userId };
    };
  const secretOf = (reply: unknown) => (isRecord(reply) ? reply['secret'] : undefined) as SecretInfo;
  return {
    set: (params: unknown, options?: CallOptions) =>
      routeCall(transport, 'secrets.set', set, given(['name', 'value'], params, options), secretOf),
    list: (params: unknown, options?: CallOptions) =>
      routeList<SecretInfo>(transport, 'secrets.list', list, given([], params, options)),
    delete: (params: unknown, options?: CallOptions) =>
      routeCall(transport, 'secrets.delete', remove, given(['name'], params, options), () => undefined),
  };
}
