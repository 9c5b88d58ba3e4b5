// The handlers of the management plane as one table, in the shape of the contract: what is missing or superfluous here does not compile.
import { accountHandlers } from '../accounts/handlers.ts';
import { keyHandlers } from '../api-keys/handlers.ts';
import { auditHandlers } from '../audit/handlers.ts';
import { callHandlers } from '../calls/handlers.ts';
import { connectorHandlers } from '../connectors/handlers.ts';
import { credentialHandlers } from '../credentials/handlers.ts';
import { secretHandlers } from '../credentials/secrets-handlers.ts';
import { serverHandlers } from '../servers/handlers.ts';
import { settingsHandlers } from '../settings/handlers.ts';
import { userHandlers } from '../users/handlers.ts';
import type { Handlers } from './bind-contract.ts';
import { type SystemOptions, systemHandlers } from './health.ts';

export function createHandlers(options: SystemOptions): Handlers {
  return {
    servers: serverHandlers,
    users: userHandlers,
    keys: keyHandlers,
    secrets: secretHandlers,
    connectors: connectorHandlers,
    credentials: credentialHandlers,
    calls: callHandlers,
    audit: auditHandlers,
    accounts: accountHandlers,
    settings: settingsHandlers,
    system: systemHandlers(options),
  };
}
