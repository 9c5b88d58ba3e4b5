// The table of users and actions: what each call would come to by the rules in force and, while they are edited, by the draft; what the draft
// would change is marked. Asks the gateway for every cell and judges none itself.
import type { Explanation, Server } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { type Load, useLoad } from '../load.ts';
import { Empty, Failed, Loaded, Waiting } from '../parts/page.tsx';
import { Table } from '../parts/table.tsx';
import { count } from '../words.ts';
import type { Draft } from './server-rules.ts';

/** As many as can be read at a glance. */
export const maxUsers = 8;
const maxActions = 25;
/** What one request may ask. */
const perRequest = 100;

interface Question {
  user: string;
  action: string;
}
type Answers = ReadonlyMap<string, Explanation>;
const keyOf = ({ user, action }: Question): string => `${user} ${action}`;

/** Without a draft: by the rules in force. */
async function askAll(
  server: Server,
  connectorId: string,
  questions: readonly Question[],
  draft?: Pick<Draft, 'restrictions'>,
): Promise<Answers> {
  const answers = new Map<string, Explanation>();
  for (let from = 0; from < questions.length; from += perRequest) {
    const some = questions.slice(from, from + perRequest);
    const { explanations } = await gateway.policy.explainMany({
      serverId: server.serverId,
      ...(draft && { draft: { restrictions: draft.restrictions } }),
      questions: some.map(({ user, action }) => ({ userId: user, connectorId, action })),
    });
    for (const [at, question] of some.entries()) {
      const answer = explanations[at];
      if (answer) answers.set(keyOf(question), answer);
    }
  }
  return answers;
}

type Verdict = 'allowed' | 'incomplete' | 'refused';
/** After the rules comes what may be missing: the call is allowed then, and lacks something. */
const verdictOf = ({ outcome, decidedBy }: Explanation): Verdict =>
  outcome === 'execute' ? 'allowed' : ['credential', 'arguments'].includes(decidedBy.layer) ? 'incomplete' : 'refused';
const looks = {
  allowed: ['good', '✓', 'allowed'],
  incomplete: ['warn', '!', 'allowed, something is missing'],
  refused: ['bad', '✕', 'refused'],
} as const;

interface Cell extends Question {
  saved: Explanation;
  /** By the draft, where there is one. */
  drafted: Explanation | undefined;
  /** What the draft would do to this call. */
  change: 'blocked' | 'allowed' | undefined;
}

function cellOf(question: Question, saved: Answers, drafted: Answers | undefined): Cell | undefined {
  const [now, then] = [saved.get(keyOf(question)), drafted?.get(keyOf(question))];
  if (now === undefined) return undefined;
  const [is, was] = [then && verdictOf(then) !== 'refused', verdictOf(now) !== 'refused'];
  const change = is === undefined || is === was ? undefined : is ? 'allowed' : 'blocked';
  return { ...question, saved: now, drafted: then, change };
}

interface MatrixProps {
  server: Server;
  connector: string;
  users: readonly string[];
  draft: Draft | undefined;
}

export function Matrix({ server, connector, users, draft }: MatrixProps) {
  const listed = useLoad(() => gateway.connectors.actions(connector), [connector]);
  const [wanted, setWanted] = useState('');
  return (
    <Loaded of={listed}>
      {({ actions }) => {
        if (actions.length === 0) return <Failed error={new Error('This connector lists no actions.')} />;
        const fitting = actions.map(({ id }) => id).filter((id) => id.toLowerCase().includes(wanted.toLowerCase()));
        const shown = fitting.sort().slice(0, maxActions);
        return (
          <>
            {actions.length > 10 && (
              <input
                class="search"
                type="search"
                aria-label="Find an action"
                placeholder="Find an action"
                value={wanted}
                onInput={(event) => setWanted(event.currentTarget.value)}
              />
            )}
            <Answered server={server} connector={connector} users={users} actions={shown} draft={draft} />
            {fitting.length > shown.length && (
              <p class="muted small">
                {count(shown.length)} of {count(fitting.length)} actions. Find the others by name.
              </p>
            )}
          </>
        );
      }}
    </Loaded>
  );
}

function Answered({ server, connector, users, actions, draft }: MatrixProps & { actions: readonly string[] }) {
  const questions = actions.flatMap((action) => users.map((user) => ({ user, action })));
  const asked = questions.map(keyOf).join();
  const saved = useLoad(() => askAll(server, connector, questions), [server, asked]);
  const restrictions = JSON.stringify(draft?.restrictions);
  const drafted = useLoad(
    async () => (draft === undefined ? undefined : askAll(server, connector, questions, draft)),
    [server, asked, restrictions],
  );
  const [open, setOpen] = useState<Question>();
  if (users.length === 0 || actions.length === 0)
    return <Empty title="Nothing to compare">{users.length === 0 ? 'Choose a user.' : 'No action fits.'}</Empty>;
  return (
    <Loaded of={saved}>
      {(answers) => {
        const byDraft = draft && drafted.data;
        const cells = questions.flatMap((question) => cellOf(question, answers, byDraft) ?? []);
        const chosen = open && cells.find((cell) => keyOf(cell) === keyOf(open));
        return (
          <>
            {draft && <Summary cells={cells} problem={draft.problem} load={drafted} />}
            <div class="matrix" aria-busy={saved.isLoading || (draft !== undefined && drafted.isLoading)}>
              <Table caption={`Who can call what of ${connector}`} heads={['Action', ...users]}>
                {actions.map((action) => (
                  <tr key={action}>
                    <th scope="row" class="mono small">
                      {action}
                    </th>
                    {users.map((user) => {
                      const cell = cells.find((one) => one.user === user && one.action === action);
                      return <td key={user}>{cell && <CellButton cell={cell} onOpen={() => setOpen(cell)} />}</td>;
                    })}
                  </tr>
                ))}
              </Table>
            </div>
            <p class="muted small">
              ✓ allowed · ! allowed, but something is missing (mostly a credential) · ✕ refused
              {draft && ' · framed: what the draft would change'}. Press a cell to see why.
            </p>
            {chosen && <Why cell={chosen} />}
          </>
        );
      }}
    </Loaded>
  );
}

function Summary(props: { cells: readonly Cell[]; problem: string | undefined; load: Load<Answers | undefined> }) {
  const { cells, problem, load } = props;
  if (problem !== undefined)
    return (
      <p class="note warn" role="status">
        {problem}
      </p>
    );
  if (load.error !== undefined) return <Failed error={load.error} />;
  if (load.data === undefined) return <Waiting />;
  const of = (change: Cell['change']) => cells.filter((cell) => cell.change === change).length;
  const parts = [
    { verb: 'block', calls: of('blocked') },
    { verb: 'allow', calls: of('allowed') },
  ].filter(({ calls }) => calls > 0);
  if (parts.length === 0)
    return (
      <p class="note" role="status">
        Saving this draft would change nothing of what is shown here.
      </p>
    );
  return (
    <p class="note warn" role="status">
      Saving this draft would <strong>{parts.map(({ verb, calls }) => `${verb} ${count(calls)}`).join(' and ')}</strong>{' '}
      of the {count(cells.length)} calls shown.
    </p>
  );
}

function CellButton({ cell, onOpen }: { cell: Cell; onOpen: () => void }) {
  const { saved, drafted, user, action, change } = cell;
  const [look, sign, said] = looks[verdictOf(drafted ?? saved)];
  if (change === undefined)
    return (
      <button type="button" class={`cell ${look}`} onClick={onOpen} aria-label={`${user}, ${action}: ${said}`}>
        {sign}
      </button>
    );
  return (
    <button
      type="button"
      class={`cell changed ${look}`}
      onClick={onOpen}
      aria-label={`${user}, ${action}: would be ${change}, now ${looks[verdictOf(saved)][2]}`}
    >
      <span class="was">{looks[verdictOf(saved)][1]}</span> → {sign}
    </button>
  );
}

const outcomeOf = ({ outcome, message }: Explanation): string =>
  outcome === 'execute' ? 'would run' : (message ?? 'refused');

function Why({ cell: { user, action, saved, drafted, change } }: { cell: Cell }) {
  const answer = drafted ?? saved;
  return (
    <div class="note" role="status">
      <strong>
        {user} calling {action}: {outcomeOf(answer)}
      </strong>
      {change !== undefined && <p class="small">By the rules in force: {outcomeOf(saved)}</p>}
      <ol class="steps small">
        {answer.steps.map((step) => (
          <li key={step.layer + step.detail}>
            {step.allowed ? '✓' : '✕'} <strong>{step.layer}</strong>: {step.detail}
          </li>
        ))}
      </ol>
      {answer.decidedBy.rule && (
        <p class="small">
          Rule: <code>{answer.decidedBy.rule}</code>
        </p>
      )}
    </div>
  );
}
