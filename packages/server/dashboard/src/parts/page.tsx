// The frame of a page and the states that every page has: waiting, failed, empty.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { sentenceOf } from '../gateway.ts';
import type { Load } from '../load.ts';
import { Icon } from './icon.tsx';

interface PageProps {
  title: string;
  lead?: ComponentChildren;
  crumb?: { href: string; text: string };
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** Takes the focus to its heading when it opens, so that the keyboard and a screen reader are where the eyes are. */
export function Page({ title, lead, crumb, actions, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  useEffect(() => {
    document.title = `${title} · MCP Valet`;
  }, [title]);
  return (
    <div class="page">
      <div class="page-head">
        <div>
          {crumb && (
            <p class="crumb">
              <a href={crumb.href}>← {crumb.text}</a>
            </p>
          )}
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {lead && <p class="muted">{lead}</p>}
        </div>
        {actions && <div class="row">{actions}</div>}
      </div>
      {children}
    </div>
  );
}

export function Waiting() {
  return (
    <div class="loading" role="status">
      <span class="spin">
        <Icon name="wait" />
      </span>
      Loading…
    </div>
  );
}

export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const { text, detail } = sentenceOf(error);
  return (
    <div class="note bad" role="alert">
      <strong>{text}</strong>
      {detail && <p class="small">{detail}</p>}
      {retry && (
        <p>
          <button type="button" class="button small" onClick={retry}>
            Try again
          </button>
        </p>
      )}
    </div>
  );
}

/** The data once it is there; before that the waiting, and what went wrong. */
export function Loaded<T>({ of, children }: { of: Load<T>; children: (data: T) => ComponentChildren }) {
  if (of.error !== undefined && of.data === undefined) return <Failed error={of.error} retry={of.reload} />;
  if (of.data === undefined) return <Waiting />;
  return (
    <>
      {of.error !== undefined && <Failed error={of.error} retry={of.reload} />}
      {children(of.data)}
    </>
  );
}

/** Says what will be here and how to get there. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export type Tone = 'good' | 'warn' | 'bad' | 'quiet';
export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}
