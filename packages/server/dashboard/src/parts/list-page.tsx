// A page that lists things: its frame, the first step where there is none yet, the table, and the button for more.
import type { ComponentChildren } from 'preact';
import type { Load } from '../load.ts';
import { Empty, Loaded, Page } from './page.tsx';
import { More, type Paged, Table } from './table.tsx';

interface ListPageProps<T> {
  title: string;
  lead: ComponentChildren;
  /** What makes a new one: beside the title, and where the list would be. */
  create: ComponentChildren;
  pages: Load<Paged<T>> & { add: () => Promise<void> };
  empty: { title: string; text: ComponentChildren };
  heads: readonly string[];
  /** Above the table. */
  tools?: ComponentChildren;
  /** Of what was read, what is shown; default: all. */
  fits?: (item: T) => boolean;
  /** A row of the table. */
  children: (item: T) => ComponentChildren;
}

export function ListPage<T>(props: ListPageProps<T>) {
  const { title, lead, create, pages, empty, heads, tools, fits = () => true, children } = props;
  return (
    <Page title={title} lead={lead} actions={create}>
      <Loaded of={pages}>
        {(paged) => {
          if (paged.items.length === 0)
            return (
              <div class="card">
                <Empty title={empty.title}>
                  <p>{empty.text}</p>
                  {create}
                </Empty>
              </div>
            );
          const shown = paged.items.filter(fits);
          return (
            <>
              {tools}
              <div class="card flush">
                <Table caption={title} heads={heads}>
                  {shown.map(children)}
                </Table>
                {shown.length === 0 && <Empty title="Nothing fits">Try fewer letters.</Empty>}
              </div>
              <More paged={paged} add={pages.add} />
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}
