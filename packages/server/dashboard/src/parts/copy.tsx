// Texts to take along: a copy button, code to paste, and secrets that are shown once.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [state, setState] = useState<'ready' | 'copied' | 'failed'>('ready');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState('copied');
    } catch {
      // Not allowed here: the text stands beside the button and can be selected.
      setState('failed');
    }
  };
  const said = { ready: label, copied: 'Copied', failed: 'Select and copy' }[state];
  return (
    <button type="button" class="button small" onClick={() => void copy()}>
      <span aria-live="polite">{said}</span>
    </button>
  );
}

export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div class="stack">
      <div class="row between">
        <span class="small muted">{label}</span>
        <CopyButton text={text} />
      </div>
      <pre class="code">{text}</pre>
    </div>
  );
}

/** A value that exists here and nowhere else from now on. */
export function SecretOnce({ label, value }: { label: string; value: string }) {
  return (
    <div class="stack">
      <p class="note warn">
        <strong>{label}: copy it now.</strong> It is shown this once; the gateway keeps only a hash of it.
      </p>
      <div class="secret">
        <code data-secret>{value}</code>
        <CopyButton text={value} />
      </div>
    </div>
  );
}

/** The end of a form that made a secret: it, what goes with it, and the word that it was taken along. */
export function ShownOnce(props: {
  label: string;
  value: string | undefined;
  onDone: () => void;
  children?: ComponentChildren;
}) {
  const { label, value, onDone, children } = props;
  return (
    <div class="stack">
      <SecretOnce label={label} value={value ?? ''} />
      {children}
      <div class="row end">
        <button type="button" class="button primary" onClick={onDone}>
          I have copied it
        </button>
      </div>
    </div>
  );
}
