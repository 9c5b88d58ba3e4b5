// Pure: which secrets a person is asked for on the connect page of a connector that has no OAuth. The gateway's own names never are.
import { type Inject, isOAuthSecret, neededSecrets } from '@mcp-valet/shared';

export function secretsToAskFor(connector: { secretNames: readonly string[]; inject: unknown }): string[] {
  const names = [...connector.secretNames, ...neededSecrets(connector.inject as Inject | null)];
  return [...new Set(names)].filter((name) => !isOAuthSecret(name));
}
