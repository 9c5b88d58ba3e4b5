// What the call plane needs of OAuth, as a port: tokens that are good for a while. Types only.
import type { ConnectorRecord, CredentialRecord } from '../../identity/records.ts';

export interface Refresher {
  /**
   * The credential with an access token that is good for the next minute, renewed if need be; as it is when it cannot be renewed now. Its
   * status says so: `reauth_required` when the grant has ended. Never throws for the provider's sake.
   */
  ensureFresh(
    credential: CredentialRecord,
    connector: ConnectorRecord,
    signal: AbortSignal | null,
  ): Promise<CredentialRecord>;
  /**
   * A new access token although the stored one looks good: the upstream has refused it. Throws REAUTH_REQUIRED when the grant has ended, and
   * UPSTREAM_UNREACHABLE when the provider cannot be asked now.
   */
  refreshNow(
    credential: CredentialRecord,
    connector: ConnectorRecord,
    signal: AbortSignal | null,
  ): Promise<CredentialRecord>;
}
