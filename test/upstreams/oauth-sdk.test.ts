// A user connects an account with the SDK: the link, the ticket, the real sign-in, and the wait for it.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectorId, type OAuthStage, startOAuthStage } from './oauth-stage.ts';

let stage: OAuthStage;
beforeAll(async () => {
  stage = await startOAuthStage();
}, 120_000);
afterAll(() => stage?.close());

it('connectAccount gives a link of the user’s own, and wait ends with the sign-in', async () => {
  const user = stage.rig.sdk(stage.rig.admin).forUser('alice');
  const refused = await user.runAction(connectorId, 'echo', { text: 'x' }).safe();
  expect(refused).toMatchObject({ ok: false, error: { name: 'CredentialRequiredError' } });

  const account = await user.connectAccount({ connector: connectorId, redirectUri: stage.appUrl });
  // The refusal had begun a sign-in already: it is gone on with.
  const again = await user.connectAccount({ connector: connectorId, redirectUri: stage.appUrl });
  expect(again.credentialId).toBe(account.credentialId);
  const waiting = account.wait();
  await stage.connect('alice', 'alice@provider', again.connectUrl);
  expect(await waiting).toMatchObject({ credentialId: account.credentialId, status: 'valid', username: 'alice' });
  expect((await user.runAction(connectorId, 'echo', { text: 'x' })).isError).toBe(false);

  const renewal = await user.connectAccount({ connector: connectorId, credentialId: account.credentialId });
  const renewed = renewal.wait();
  await stage.connect('alice', 'alice@provider', renewal.connectUrl);
  expect(await renewed).toMatchObject({ credentialId: account.credentialId, status: 'valid' });
}, 120_000);
