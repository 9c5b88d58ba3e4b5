// create_credential_alloy: stores a credential of the effective user, or makes the link where that user signs in. Values are sealed and never
// echoed; what comes of a sign-in never passes here.
import { headers } from '@mcp-valet/shared';
import { recordEvent } from '../../audit/record.ts';
import { linkFor, notOffered } from '../../credentials/oauth/connect.ts';
import { createCredential, listOwnCredentials } from '../../credentials/store.ts';
import { withScope } from '../../db/scope.ts';
import { lockUser } from '../../users/store.ts';
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
        const { principal, parts, user, requestId, address } = call;
        const userId = user.record.id;
        const isOAuth = input.authenticationType === 'oauth2';
        if (isOAuth && connector.oauth === null) throw notOffered(connector.id);
        const { credential, link } = await withScope(
          parts.db,
          { account: principal.accountId, user: userId },
          async (tx) => {
            const owner = { accountId: principal.accountId, userId, connectorId: connector.id };
            await lockUser(tx, owner.accountId, userId);
            // An agent that asks again gets the same link, not another credential.
            const waiting = isOAuth
              ? (await listOwnCredentials(tx, owner)).find((one) => one.type === 'oauth2' && one.status === 'pending')
              : undefined;
            const created =
              waiting ??
              (await createCredential(tx, parts.vault, {
                ...owner,
                authenticationType: input.authenticationType,
                fields: input.fields ?? {},
              }));
            const redirectUri = input.redirectUri ?? call.header(headers.redirectUri);
            const link = isOAuth ? await linkFor(tx, parts, created, redirectUri) : undefined;
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
            return { credential: created, link };
          },
        );
        const made = { credentialId: credential.id, status: credential.status };
        return resultAnswer(
          jsonResult(
            link === undefined ? made : { ...made, oauthUrl: link.url, expiresAt: link.expiresAt.toISOString() },
          ),
        );
      },
      { target: { connector }, isRead: false },
    );
  },
};
