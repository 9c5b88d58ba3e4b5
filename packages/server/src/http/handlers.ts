// The handlers of the management plane as one table, in the shape of the contract: what is missing or superfluous here does not compile.
import { accountHandlers } from '../accounts/handlers.ts';
import { keyHandlers } from '../api-keys/handlers.ts';
import { tokenHandlers } from '../api-keys/tokens-handlers.ts';
import { auditHandlers } from '../audit/handlers.ts';
import { history } from '../audit/history.ts';
import { callHandlers } from '../calls/handlers.ts';
import { usageHandlers } from '../calls/usage-handlers.ts';
import { connectorHandlers } from '../connectors/handlers.ts';
import { credentialHandlers } from '../credentials/handlers.ts';
import { secretHandlers } from '../credentials/secrets-handlers.ts';
import { groupHandlers } from '../groups/handlers.ts';
import { issuerHandlers } from '../issuers/handlers.ts';
import { identityHandlers } from '../issuers/identities.ts';
import { explainHandlers } from '../mcp/explain.ts';
import { limitHandlers } from '../rate-limits/handlers.ts';
import { serverHandlers } from '../servers/handlers.ts';
import { settingsHandlers } from '../settings/handlers.ts';
import { userHandlers } from '../users/handlers.ts';
import type { Handlers } from './bind-contract.ts';
import { type SystemOptions, systemHandlers } from './health.ts';

export function createHandlers(options: SystemOptions): Handlers {
  return {
    servers: serverHandlers,
    users: { ...userHandlers, history },
    keys: keyHandlers,
    tokens: tokenHandlers,
    secrets: secretHandlers,
    connectors: connectorHandlers,
    credentials: credentialHandlers,
    calls: callHandlers,
    usage: usageHandlers,
    audit: auditHandlers,
    accounts: accountHandlers,
    issuers: issuerHandlers,
    identities: identityHandlers,
    groups: groupHandlers,
    limits: limitHandlers,
    policy: explainHandlers,
    settings: settingsHandlers,
    system: systemHandlers(options),
  };
}
