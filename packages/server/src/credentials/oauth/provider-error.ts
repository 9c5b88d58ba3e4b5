// Why an authorization server cannot be used, in our words: `reason` is for the operator, the message for whoever waits. Foreign text never
// enters either.
export type ProviderProblem =
  /** Nothing came back, or not in time. The grant may be good: try again. */
  | 'unreachable'
  /** What it publishes about itself is missing or does not fit. */
  | 'bad_metadata'
  /** We have no client there and it offers no way to get one. */
  | 'no_client'
  /** It answered, but not as the protocol says. */
  | 'bad_answer';

const sentences: Record<ProviderProblem, string> = {
  unreachable: 'The sign-in service could not be reached',
  bad_metadata: 'The sign-in service does not describe itself as OAuth 2.0 requires',
  no_client: 'The sign-in service knows no client of this gateway; set clientId on the connector',
  bad_answer: 'The sign-in service gave an answer that OAuth 2.0 does not allow',
};

export class ProviderError extends Error {
  override readonly name = 'ProviderError';
  readonly problem: ProviderProblem;
  /** For the log and the trail. */
  readonly reason: string;
  constructor(problem: ProviderProblem, reason: string) {
    super(sentences[problem]);
    this.problem = problem;
    this.reason = `${problem}:${reason}`;
  }
}
