// What a call under an idempotency key leaves for its repetitions, and what a repetition gets instead of a second execution.
// Opens and seals answers only; which call runs is decided by the claim, in `call`.
import { metaKeys } from '@mcp-valet/shared';
import { findDataKey } from '../credentials/find-data-key.ts';
import type { CallEnd, ClaimPlace, StandingClaim } from '../db/hot-path.ts';
import type { CredentialRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import { type Answer, decodeAnswer, encodeAnswer } from './answer.ts';
import type { UserCall } from './request.ts';

/** How the claim ends, with the sealed answer where one is kept. */
export async function claimEnd(
  call: UserCall,
  place: ClaimPlace,
  credential: CredentialRecord | Refusal | null,
  answer: Answer,
): Promise<NonNullable<CallEnd['claim']>> {
  switch (answer.keep) {
    // A missing credential is no outcome: the same key may be used again after connecting.
    case 'released':
      return { ...place, state: 'released' };
    case 'unknown':
      return { ...place, state: 'unknown' };
    case 'done':
      return { ...place, state: 'done', status: 200, answer: await sealed(call, place, credential, answer) };
  }
}

async function sealed(
  call: UserCall,
  place: ClaimPlace,
  credential: CredentialRecord | Refusal | null,
  answer: Answer,
): Promise<Uint8Array | undefined> {
  const bytes = encodeAnswer(answer);
  if (bytes === undefined) return undefined;
  const { accountId } = call.principal;
  // The data key of whoever owns the credential; an answer made with somebody's shared one is sealed for its own user, under the state key.
  const isOwn = credential !== null && !(credential instanceof Refusal) && credential.userId === place.user;
  const secret = isOwn ? credential.secrets[0] : undefined;
  const dataKey = secret && {
    id: secret.dataKeyId,
    accountId,
    userId: place.user,
    kekVersion: secret.kekVersion,
    wrapped: secret.wrappedDataKey,
  };
  return call.parts.vault.sealAnswer({ account: accountId, ...place }, bytes, dataKey);
}

/** The kept answer; throws where there is none to give. */
export async function replay(call: UserCall, place: ClaimPlace | undefined, standing: StandingClaim): Promise<Answer> {
  switch (standing.state) {
    case 'running':
      throw new Refusal('IDEMPOTENCY_IN_PROGRESS', 'The first call with this Idempotency-Key is still running', {
        retryAfterMs: 1000,
      });
    case 'mismatch':
      throw new Refusal('IDEMPOTENCY_MISMATCH', 'This Idempotency-Key was used for another call');
    case 'unknown':
      throw new Refusal(
        'OUTCOME_UNKNOWN',
        'Outcome unknown: the first call with this Idempotency-Key did not report back and is not repeated',
      );
    case 'done': {
      const account = call.principal.accountId;
      const bytes =
        standing.answer &&
        place &&
        (await call.parts.vault.openAnswer({ account, ...place }, standing.answer, (id) =>
          findDataKey(call.parts.db, account, place.user, id),
        ));
      if (bytes === undefined) {
        throw new Refusal(
          'ANSWER_NOT_KEPT',
          'The first call with this Idempotency-Key ran once; its answer was not kept',
        );
      }
      call.replyHeaders['idempotent-replayed'] = 'true';
      const answer = decodeAnswer(bytes);
      const meta = { ...(answer.result['_meta'] as Record<string, unknown> | undefined), [metaKeys.replayed]: true };
      return { ...answer, result: { ...answer.result, _meta: meta } };
    }
  }
}
