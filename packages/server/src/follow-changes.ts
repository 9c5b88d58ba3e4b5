// Ends what a committed change made stale: kept lists, sessions and child processes of upstreams, unwrapped data keys. Versions in the keys keep
// a stale entry from being used; this ends what it still holds open, and nothing else: a running call of another connector goes on.
import { readUpstreamKey, type UpstreamKey, type UpstreamKeyParts } from './connectors/upstream-key.ts';
import type { Parts } from './context.ts';

type FollowedParts = Pick<Parts, 'directory' | 'carriers' | 'vault' | 'log'>;

export function followChanges(parts: FollowedParts): void {
  const { directory, carriers, vault, log } = parts;
  directory.onChange((topic) => {
    const [noun, id = ''] = topic.split(':');
    if (topic === '*') vault.forgetAll();
    if (noun === 'user') vault.forget(id);
    if (noun === 'connectors') carriers.connectorsChanged(id);
    if (noun !== 'user' && noun !== 'connectors') return;
    endStale(parts, noun, id).catch((error: unknown) =>
      log.warn({ name: error instanceof Error ? error.name : typeof error }, 'upstream_forget_failed'),
    );
  });
}

/** Looks at what is kept and may be concerned, and ends what no call would find any more. */
async function endStale(parts: FollowedParts, noun: 'user' | 'connectors', id: string): Promise<void> {
  const { carriers, directory } = parts;
  const kept = new Map<UpstreamKey, UpstreamKeyParts>();
  carriers.eachKey((key) => kept.set(key, readUpstreamKey(key)));
  const stale = new Set<UpstreamKey>();
  for (const [key, one] of kept) {
    if (noun === 'connectors' && one.accountId !== id) continue;
    const connector = (await directory.connectors(one.accountId)).get(one.connectorId);
    const isGone = connector === undefined || !connector.enabled || connector.version !== one.connectorVersion;
    // Where credentials are shared, a change of one user ends what others hold with it. Elsewhere only that user's own is looked at.
    const mayBeTheirs = noun === 'user' && one.userId === id;
    if (isGone || ((mayBeTheirs || connector.allowShared) && (await hasLost(parts, one, connector.allowShared))))
      stale.add(key);
  }
  if (stale.size > 0) await carriers.forget((key) => stale.has(key));
}

/** Whether the user may no longer call, or the credential is gone or another one by now. Through caches that the same change has emptied. */
async function hasLost({ directory }: FollowedParts, kept: UpstreamKeyParts, allowShared: boolean): Promise<boolean> {
  const { accountId, userId, credentialId } = kept;
  if (userId === null) return false;
  if ((await directory.user(accountId, userId))?.enabled !== true) return true;
  if (credentialId === null) return false;
  const own = await directory.credentials(accountId, userId);
  const shared = allowShared ? await directory.sharedCredentials(accountId) : [];
  const credential = [...own, ...shared].find(({ id }) => id === credentialId);
  return credential === undefined || credential.version !== kept.credentialVersion;
}
