// The schema as the catalogue tells it, in one fixed order: what the migrations really produce, reviewable as one file (packages/server/schema.sql).
// Reads the catalogue only.
import { type Database, internalsOf } from '../../packages/server/src/db/client.ts';

type Row = Record<string, unknown>;

export async function catalogue(db: Database, query: string): Promise<Row[]> {
  return internalsOf(db).driver.asOwner((owner) => owner.transaction((run) => run(query)));
}

const columns = `select c.relname as owner, format('  %I %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
    case when a.attidentity <> '' then ' generated always as identity' else '' end,
    case when d.oid is not null then ' default ' || pg_get_expr(d.adbin, d.adrelid) else '' end,
    case when a.attnotnull then ' not null' else '' end) as line
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
  where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by c.relname collate "C", a.attnum`;

/** Queries that give one statement per row, in the order in which the file lists them. */
const statements = [
  `select format('alter table %I add constraint %I %s;', c.relname, k.conname, pg_get_constraintdef(k.oid)) as line
   from pg_constraint k join pg_class c on c.oid = k.conrelid
   where k.connamespace = 'public'::regnamespace and k.contype in ('p', 'u', 'f', 'c')
   order by c.relname collate "C", k.contype, k.conname collate "C"`,
  `select pg_get_indexdef(i.indexrelid) || ';' as line from pg_index i join pg_class c on c.oid = i.indexrelid
   where c.relnamespace = 'public'::regnamespace and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
   order by c.relname collate "C"`,
  `select format('create sequence %I;', relname) as line from pg_class c
   where relnamespace = 'public'::regnamespace and relkind = 'S'
     and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i') order by relname collate "C"`,
  `select format('alter table %I %s row level security, %s row level security;', relname,
     case when relrowsecurity then 'enable' else 'disable' end, case when relforcerowsecurity then 'force' else 'no force' end) as line
   from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname collate "C"`,
  `select format('create policy %I on %I as %s for %s to %s%s%s;', policyname, tablename, lower(permissive), lower(cmd),
     array_to_string(roles, ', '), coalesce(E'\\n  using ' || qual, ''), coalesce(E'\\n  with check ' || with_check, '')) as line
   from pg_policies where schemaname = 'public' order by tablename collate "C", policyname collate "C"`,
  `select pg_get_functiondef(oid) || ';' as line from pg_proc where pronamespace = 'public'::regnamespace order by proname collate "C"`,
  `select pg_get_triggerdef(t.oid) || ';' as line from pg_trigger t join pg_class c on c.oid = t.tgrelid
   where not t.tgisinternal and c.relnamespace = 'public'::regnamespace order by c.relname collate "C", t.tgname collate "C"`,
  `select format('grant %s on %s to valet_app;', string_agg(lower(a.privilege_type), ', ' order by a.privilege_type), c.relname) as line
   from pg_class c, aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee
   where c.relnamespace = 'public'::regnamespace and r.rolname = 'valet_app' group by c.relname order by c.relname collate "C"`,
  `select format('grant %s (%s) on %s to valet_app;', lower(x.privilege_type), string_agg(a.attname, ', ' order by a.attnum), c.relname) as line
   from pg_class c join pg_attribute a on a.attrelid = c.oid, aclexplode(a.attacl) x join pg_roles r on r.oid = x.grantee
   where c.relnamespace = 'public'::regnamespace and r.rolname = 'valet_app'
   group by c.relname, x.privilege_type order by c.relname collate "C"`,
  `select format('grant execute on function %s to %s;', p.oid::regprocedure, coalesce(r.rolname, 'public')) as line
   from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a left join pg_roles r on r.oid = a.grantee
   where p.pronamespace = 'public'::regnamespace and (a.grantee = 0 or r.rolname = 'valet_app')
   order by p.proname collate "C", coalesce(r.rolname, 'public') collate "C"`,
];

export async function dumpSchema(db: Database): Promise<string> {
  const tables = new Map<string, string[]>();
  for (const row of await catalogue(db, columns)) {
    const lines = tables.get(String(row.owner)) ?? [];
    tables.set(String(row.owner), [...lines, String(row.line)]);
  }
  const sections = [
    [...tables].map(([name, lines]) => `create table ${name} (\n${lines.join(',\n')}\n);`).join('\n\n'),
  ];
  for (const query of statements) sections.push((await catalogue(db, query)).map((row) => row.line).join('\n'));
  return [
    '-- What the migrations produce, read back from the catalogue. Not a migration: nothing runs it.',
    '-- A test fails when it differs; write it anew with: npx tsx --conditions=@mcp-valet/source test/db/write-schema.ts',
    '',
    sections.join('\n\n'),
    '',
  ].join('\n');
}
