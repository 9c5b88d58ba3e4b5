// The way in. There is no default password: the key is the one that the first start printed, or any admin or enterprise key.

import icon from '../icon.svg';
import { Form, TextField } from '../parts/form.tsx';
import { Failed } from '../parts/page.tsx';
import { ThemeButton } from '../parts/shell.tsx';
import { type Session, signIn, signInPath, signInProblem } from '../session.ts';
import { typed } from '../words.ts';

interface LoginProps {
  onEnter: (session: Session) => void;
  isOver: boolean;
  problem: unknown;
  /** Host of the issuer where people sign in besides with keys. */
  issuer: string | undefined;
}

export function LoginPage({ onEnter, isOver, problem, issuer }: LoginProps) {
  const returned = signInProblem();
  return (
    <div class="door">
      <main class="stack">
        <div class="row">
          <img src={icon} alt="" width="40" height="40" />
          <h1>MCP Valet</h1>
        </div>
        {isOver && (
          <p class="note" role="status">
            Your session has ended. Sign in again to go on.
          </p>
        )}
        {problem !== undefined && <Failed error={problem} />}
        {returned !== undefined && (
          <p class="note bad" role="alert">
            {returned}
          </p>
        )}
        {!isSecureContext && (
          <p class="note warn">
            This page was opened over plain http. Browsers keep the session only over https or on localhost.
          </p>
        )}
        {issuer !== undefined && (
          <a class="button primary" href={signInPath} target="_self">
            Sign in with {issuer}
          </a>
        )}
        <div class="card">
          <Form submit="Sign in" onSubmit={async (data) => onEnter(await signIn(typed(data, 'apiKey') ?? ''))}>
            <TextField
              label="API key"
              name="apiKey"
              type="password"
              autocomplete="current-password"
              required
              hint="An admin or enterprise key of your account. It is checked once and not kept in this browser."
            />
          </Form>
        </div>
        <p class="muted small">
          The first admin key was printed when the gateway started for the first time. More keys can be made on the page
          of a user.
        </p>
        <div>
          <ThemeButton />
        </div>
      </main>
    </div>
  );
}
