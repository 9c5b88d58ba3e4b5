// create_credential_alloy: stores a key-based credential of the effective user. Values are sealed and never echoed.
import { recordEvent } from '../../audit/record.ts';
import { createCredential } from '../../credentials/store.ts';
import { withScope } from '../../db/scope.ts';
import { Refusal } from '../../refusal.ts';
import { getConnector } from '../actions.ts';
import { resultAnswer } from '../answer.ts';
import { jsonResult } from '../result.ts';
import { localStep, type MetaTool } from '../tool.ts';

export const createCredentialTool: MetaTool<'create_credential_alloy'> = {
  name: 'create_credential_alloy',
  async plan(input, call) {
    const connector = await getConnector(call, input.connectorId);
    return localStep(
      'create_credential_alloy',
      { ...input, fields: Object.keys(input.fields ?? {}) },
      async () => {
        if (input.authenticationType === 'oauth2') {
          throw new Refusal(
            'UNPROCESSABLE',
            `Connector ${connector.id} does not offer oauth2; use secrets with its fields`,
            { reason: 'oauth2_not_offered' },
          );
        }
        const { principal, parts, user, requestId, address } = call;
        const userId = user.record.id;
        const credential = await withScope(parts.db, { account: principal.accountId, user: userId }, async (tx) => {
          const created = await createCredential(tx, parts.vault, {
            accountId: principal.accountId,
            userId,
            connectorId: connector.id,
            authenticationType: input.authenticationType === 'api_key' ? 'api_key' : 'secrets',
            fields: input.fields ?? {},
          });
          // Change and event stand or fall together, as on the management plane.
          await recordEvent(tx, {
            accountId: principal.accountId,
            actor: { keyId: principal.keyId, kind: principal.kind, userId: principal.userId },
            action: 'credential.create',
            outcome: 'ok',
            userId,
            target: created.id,
            requestId,
            address,
            details: { connectorId: connector.id },
          });
          await parts.db.changes.publish(tx, `user:${userId}`);
          return created;
        });
        return resultAnswer(jsonResult({ credentialId: credential.id, status: credential.status }));
      },
      { target: { connector }, isRead: false },
    );
  },
};
