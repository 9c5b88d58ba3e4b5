// Ends what a committed change made stale: kept lists, sessions and child processes of upstreams, unwrapped data keys. Versions in the keys keep
// a stale entry from being used; this ends what it still holds open, and nothing else: a running call of another connector goes on.
import { readUpstreamKey, type UpstreamKey, type UpstreamKeyParts } from './connectors/upstream-key.ts';
import type { Parts } from './context.ts';
import { isLentTo } from './credentials/resolve.ts';
import type { Owner } from './live-use.ts';

type FollowedParts = Pick<Parts, 'directory' | 'carriers' | 'vault' | 'log'> & {
  live: Pick<Parts['live'], 'addSource'>;
};
const nouns = ['user', 'connectors', 'groups', 'account', '*'] as const;
type Noun = (typeof nouns)[number];
const isNoun = (noun: string | undefined): noun is Noun => nouns.some((one) => one === noun);

export function followChanges(parts: FollowedParts): void {
  const { directory, carriers, vault, log, live } = parts;
  // Looked at every two seconds too, whatever was heard.
  live.addSource(function* () {
    const keys: UpstreamKey[] = [];
    carriers.eachKey((key) => keys.push(key));
    for (const key of new Set(keys)) {
      const owner = keeper(readUpstreamKey(key));
      if (owner === undefined) continue;
      yield { owner, end: () => carriers.forget((one) => one === key), changed: () => undefined };
    }
  });
  directory.onChange((topic) => {
    const [noun, id = ''] = topic === '*' ? ['*'] : topic.split(':');
    if (topic === '*') vault.forgetAll();
    if (noun === 'user') vault.forget(id);
    if (noun === 'connectors') carriers.connectorsChanged(id);
    if (!isNoun(noun)) return;
    endStale(parts, noun, id).catch((error: unknown) =>
      log.warn({ name: error instanceof Error ? error.name : typeof error }, 'upstream_forget_failed'),
    );
  });
}

/** Whose it is that an upstream is kept for; undefined where nobody in particular. */
function keeper({ accountId, userId }: UpstreamKeyParts): Owner | undefined {
  if (userId === null) return undefined;
  const nobody = { keyId: null, keyUserId: null, mintedBy: null, serverId: null, issuerId: null, tokenId: null };
  return { accountId, userId, kind: 'std', ...nobody, expiresAt: null, since: Date.now() };
}

/** Looks at what is kept and may be concerned, and ends what no call would find any more. */
async function endStale(parts: FollowedParts, noun: Noun, id: string): Promise<void> {
  const { carriers, directory } = parts;
  const kept = new Map<UpstreamKey, UpstreamKeyParts>();
  carriers.eachKey((key) => kept.set(key, readUpstreamKey(key)));
  const stale = new Set<UpstreamKey>();
  for (const [key, one] of kept) {
    if (noun !== 'user' && noun !== '*' && one.accountId !== id) continue;
    if (noun === 'account' && (await directory.account(id))?.enabled !== true) {
      stale.add(key);
      continue;
    }
    const connector = (await directory.connectors(one.accountId)).get(one.connectorId);
    const isGone = connector === undefined || !connector.enabled || connector.version !== one.connectorVersion;
    // Where credentials are shared, a change of one user ends what others hold with it. Elsewhere only that user's own is looked at.
    const mayBeTheirs = noun === '*' || (noun === 'user' && one.userId === id);
    if (isGone || ((mayBeTheirs || connector.allowShared) && (await hasLost(parts, one, connector.allowShared))))
      stale.add(key);
  }
  if (stale.size > 0) await carriers.forget((key) => stale.has(key));
}

/** Whether the user may no longer call, or the credential is gone or another one by now. Through caches that the same change has emptied. */
async function hasLost({ directory }: FollowedParts, kept: UpstreamKeyParts, allowShared: boolean): Promise<boolean> {
  const { accountId, userId, credentialId } = kept;
  if (userId === null) return false;
  const user = await directory.user(accountId, userId);
  if (user?.enabled !== true) return true;
  if (credentialId === null) return false;
  const own = await directory.credentials(accountId, userId);
  // Lent to groups, a credential is lost with the membership.
  const lent = allowShared ? await directory.sharedCredentials(accountId) : [];
  const shared = lent.filter((one) => isLentTo(one, user.groups));
  const credential = [...own, ...shared].find(({ id }) => id === credentialId);
  return credential === undefined || credential.version !== kept.credentialVersion;
}
