// What others need of OAuth, as ports: tokens that are good for a while, and the end of grants. Types only.
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

/** What became of a grant at its provider. */
export type GrantOutcome = 'revoked' | 'not_offered' | 'failed';

export interface GrantEnder {
  /**
   * Ends grants at their providers, all within `withinMs`: whatever has not been confirmed by then has failed. The records are as they were read:
   * their rows and the key that sealed them may be gone by now. Outcomes in the order of the records; never throws.
   */
  endGrants(records: readonly CredentialRecord[], withinMs: number): Promise<GrantOutcome[]>;
}
