// A link under which a user connects an account: what a backend gets to show. Types only.
import type { Contract, RouteReply } from '@mcp-valet/shared';

/** Which account a user is to connect. */
export interface ConnectParams {
  /** Id of the connector. */
  connector: string;
  /** Where the browser returns to; one of the account's `redirectUris`. */
  redirectUri?: string | undefined;
  /** Sign in again with this credential, to renew or widen what was granted. Default: one that waits for it, else a new one. */
  credentialId?: string | undefined;
}

/** A sign-in that a user has to finish in a browser. */
export interface AccountLink {
  /** Where this user signs in. Show it to them and to nobody else; printed as `[secret]`. */
  connectUrl: string;
  /** The credential that it is for. */
  credentialId: string;
  /** When the link ends. */
  expiresAt: string;
  /**
   * Waits until the user has connected the account, asking the gateway every few seconds. Throws CredentialRequiredError with code
   * `CONNECT_LINK_EXPIRED` when the link ends first, AbortError at once when the signal fires.
   */
  wait(options?: { signal?: AbortSignal }): Promise<RouteReply<Contract['credentials']['get']>>;
}
