-- What the migrations produce, read back from the catalogue. Not a migration: nothing runs it.
-- A test fails when it differs; write it anew with: npx tsx --conditions=@mcp-valet/source test/db/write-schema.ts

create table account_settings (
  account_id text not null,
  redirect_uris text[] default '{}'::text[] not null,
  webhook_url text,
  webhook_secret bytea,
  updated_at timestamp(3) with time zone default now() not null
);

create table accounts (
  id text not null,
  name text not null,
  created_at timestamp(3) with time zone default now() not null,
  enabled boolean default true not null,
  calls_per_minute integer
);

create table api_keys (
  id text not null,
  account_id text not null,
  kind text not null,
  name text not null,
  hash bytea not null,
  pepper_version integer not null,
  prefix text not null,
  user_id text,
  server_id text,
  created_at timestamp(3) with time zone default now() not null,
  expires_at timestamp(3) with time zone,
  revoked_at timestamp(3) with time zone,
  last_used_at timestamp(3) with time zone,
  scopes text[],
  allowed_users text[],
  rotated_from text,
  delegation jsonb,
  calls_used integer default 0 not null
);

create table audit_events (
  seq bigint generated always as identity not null,
  xid xid8 default valet_trail_xid(pg_current_xact_id()) not null,
  format smallint default 1 not null,
  id text not null,
  account_id text not null,
  at timestamp(3) with time zone default now() not null,
  actor_key_id text,
  actor_kind text,
  actor_user_id text,
  action text not null,
  user_id text,
  attempted_user text,
  target text,
  outcome text not null,
  reason text,
  request_id text,
  address text,
  details jsonb default '{}'::jsonb not null
);

create table calls (
  seq bigint generated always as identity not null,
  xid xid8 default valet_trail_xid(pg_current_xact_id()) not null,
  format smallint default 1 not null,
  id text not null,
  account_id text not null,
  at timestamp(3) with time zone default now() not null,
  lease_until timestamp(3) with time zone not null,
  user_id text,
  actor_key_id text,
  attempted_user text,
  server_id text,
  connector_id text,
  tool text not null,
  credential_id text,
  args_digest bytea,
  lane text not null,
  request_id text not null,
  idempotency_key text,
  address text,
  outcome text,
  reason text,
  upstream_status integer,
  latency_ms integer,
  outcome_digest bytea,
  outcome_seq bigint,
  outcome_xid xid8,
  actor_kind text
);

create table checkpoints (
  id bigint generated always as identity not null,
  segment integer not null,
  format integer default 1 not null,
  h0 text not null,
  h1 text not null,
  count integer not null,
  first_seq bigint,
  last_seq bigint,
  root bytea not null,
  previous bytea not null,
  signature bytea not null,
  closing jsonb,
  at timestamp(3) with time zone default now() not null,
  leaves bytea not null
);

create table claims (
  account_id text not null,
  user_id text not null,
  scope text not null,
  key text not null,
  fingerprint bytea not null,
  call_id text,
  state text not null,
  lease_until timestamp(3) with time zone not null,
  expires_at timestamp(3) with time zone not null,
  status integer,
  answer bytea,
  created_at timestamp(3) with time zone default now() not null
);

create table connect_requests (
  hash bytea not null,
  account_id text not null,
  user_id text not null,
  connector_id text not null,
  credential_id text not null,
  scopes text[],
  redirect_uri text,
  sealed_id bytea not null,
  ticket_hash bytea,
  ticket_expires_at timestamp(3) with time zone,
  browser_hash bytea,
  state_hash bytea,
  sealed_flow bytea,
  misses integer default 0 not null,
  status text default 'open'::text not null,
  created_at timestamp(3) with time zone default now() not null,
  expires_at timestamp(3) with time zone not null
);

create table connector_documents (
  account_id text not null,
  connector_id text not null,
  document bytea not null,
  updated_at timestamp(3) with time zone default now() not null
);

create table connectors (
  account_id text not null,
  id text not null,
  name text not null,
  description text,
  category text[] default '{}'::text[] not null,
  kind text not null,
  config jsonb not null,
  inject jsonb,
  secret_names text[] default '{}'::text[] not null,
  timeout_ms integer,
  enabled boolean default true not null,
  version integer default 1 not null,
  created_at timestamp(3) with time zone default now() not null,
  updated_at timestamp(3) with time zone default now() not null,
  oauth jsonb,
  allow_shared boolean default false not null,
  requires jsonb
);

create table credentials (
  account_id text not null,
  id text not null,
  user_id text not null,
  connector_id text not null,
  type text not null,
  label text,
  status text not null,
  is_default boolean default false not null,
  version integer default 1 not null,
  created_at timestamp(3) with time zone default now() not null,
  updated_at timestamp(3) with time zone default now() not null,
  shared boolean default false not null,
  scopes text[],
  subject text,
  token_expires_at timestamp(3) with time zone,
  refresh_lease_until timestamp(3) with time zone,
  last_error text,
  group_ids text[]
);

create table dashboard_sessions (
  id text not null,
  account_id text not null,
  key_id text not null,
  hash bytea not null,
  created_at timestamp(3) with time zone default now() not null,
  expires_at timestamp(3) with time zone not null,
  admitted_by text[]
);

create table data_keys (
  id text not null,
  account_id text not null,
  user_id text not null,
  kek_version integer not null,
  wrapped bytea not null,
  is_current boolean default true not null,
  created_at timestamp(3) with time zone default now() not null
);

create table epochs (
  id bigint generated always as identity not null,
  epoch text not null,
  place text not null,
  created_at timestamp(3) with time zone default now() not null
);

create table group_members (
  account_id text not null,
  group_id text not null,
  user_id text not null,
  created_at timestamp(3) with time zone default now() not null
);

create table groups (
  id text not null,
  account_id text not null,
  name text not null,
  description text,
  allowed text[] default '{}'::text[] not null,
  blocked text[] default '{}'::text[] not null,
  permissions jsonb default '[]'::jsonb not null,
  created_at timestamp(3) with time zone default now() not null,
  updated_at timestamp(3) with time zone default now() not null
);

create table installation (
  id text not null,
  key_check bytea not null,
  created_at timestamp(3) with time zone default now() not null
);

create table issuers (
  id text not null,
  account_id text not null,
  name text not null,
  type text not null,
  issuer text,
  config jsonb not null,
  secret bytea,
  enabled boolean default true not null,
  created_at timestamp(3) with time zone default now() not null,
  updated_at timestamp(3) with time zone default now() not null
);

create table keyring (
  purpose text not null,
  version integer not null,
  kek_version integer not null,
  wrapped bytea not null,
  created_at timestamp(3) with time zone default now() not null
);

create table limit_rules (
  id text not null,
  account_id text not null,
  user_id text,
  group_id text,
  server_id text,
  connector_id text,
  action text,
  max integer not null,
  window_seconds integer,
  shared boolean default false not null,
  created_at timestamp(3) with time zone default now() not null,
  updated_at timestamp(3) with time zone default now() not null
);

create table master_key_holders (
  replica text not null,
  key_ids text[] not null,
  wraps_with integer not null,
  seen_at timestamp(3) with time zone default now() not null
);

create table master_keys (
  version integer not null,
  key_id text not null,
  state text not null,
  key_check bytea,
  live integer,
  created_at timestamp(3) with time zone default now() not null,
  changed_at timestamp(3) with time zone default now() not null
);

create table oauth_clients (
  account_id text not null,
  connector_id text not null,
  issuer text not null,
  client_id text not null,
  sealed bytea,
  expires_at timestamp(3) with time zone,
  created_at timestamp(3) with time zone default now() not null
);

create table quota_counters (
  account_id text not null,
  limit_id text not null,
  subject text not null,
  day date not null,
  used integer not null
);

create table rate_windows (
  key text not null,
  window_ms integer not null,
  newest bigint not null,
  slots integer[] not null,
  total integer not null,
  expires_at timestamp with time zone not null
);

create table replicas (
  id text not null,
  seen_at timestamp with time zone not null
);

create table revoked_tokens (
  account_id text not null,
  issuer_id text not null,
  token_id text not null,
  expires_at timestamp(3) with time zone not null
);

create table secrets (
  account_id text not null,
  user_id text not null,
  credential_id text not null,
  name text not null,
  version integer not null,
  sealed bytea not null,
  fingerprint text not null,
  updated_at timestamp(3) with time zone default now() not null
);

create table servers (
  id text not null,
  account_id text not null,
  name text not null,
  description text,
  custom_instructions text,
  mode text not null,
  connectors text[],
  prefix text not null,
  sessions text not null,
  on_unknown_user text not null,
  rate_limit jsonb,
  is_public boolean default false not null,
  restrictions jsonb,
  owner_user_id text,
  acts_for_users boolean not null,
  version integer default 1 not null,
  created_at timestamp(3) with time zone default now() not null,
  updated_at timestamp(3) with time zone default now() not null,
  full_results boolean default false not null,
  requires jsonb
);

create table user_identities (
  account_id text not null,
  issuer_id text not null,
  subject text not null,
  user_id text not null,
  created_at timestamp(3) with time zone default now() not null
);

create table users (
  id text not null,
  account_id text not null,
  username text not null,
  email text,
  description text,
  metadata jsonb default '{}'::jsonb not null,
  enabled boolean default true not null,
  mcp_allowed text[] default '{}'::text[] not null,
  mcp_blocked text[] default '{}'::text[] not null,
  created_at timestamp(3) with time zone default now() not null,
  updated_at timestamp(3) with time zone default now() not null,
  permissions jsonb default '[]'::jsonb not null,
  tokens_not_before timestamp(3) with time zone,
  offboarded_at timestamp(3) with time zone
);

create table valet_migrations (
  tag text not null,
  hash text not null,
  applied_at timestamp with time zone default now() not null
);

create table webhook_deliveries (
  id text not null,
  account_id text not null,
  event text not null,
  payload jsonb not null,
  attempts integer default 0 not null,
  next_at timestamp(3) with time zone,
  delivered_at timestamp(3) with time zone,
  last_status integer,
  created_at timestamp(3) with time zone default now() not null
);

alter table account_settings add constraint account_settings_account CHECK ((account_id <> ''::text));
alter table account_settings add constraint account_settings_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table account_settings add constraint account_settings_pkey PRIMARY KEY (account_id);
alter table accounts add constraint accounts_pkey PRIMARY KEY (id);
alter table accounts add constraint accounts_name_unique UNIQUE (name);
alter table api_keys add constraint api_keys_account CHECK ((account_id <> ''::text));
alter table api_keys add constraint api_keys_owner CHECK ((((kind <> ALL (ARRAY['std'::text, 'usr'::text])) OR (user_id IS NOT NULL)) AND ((kind = 'url'::text) = (server_id IS NOT NULL)) AND ((kind = 'usr'::text) = (delegation IS NOT NULL))));
alter table api_keys add constraint api_keys_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table api_keys add constraint api_keys_server_id_servers_id_fk FOREIGN KEY (server_id) REFERENCES servers(id) ON DELETE CASCADE;
alter table api_keys add constraint api_keys_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;
alter table api_keys add constraint api_keys_pkey PRIMARY KEY (id);
alter table audit_events add constraint audit_account CHECK ((account_id <> ''::text));
alter table audit_events add constraint audit_events_pkey PRIMARY KEY (id);
alter table calls add constraint calls_account CHECK ((account_id <> ''::text));
alter table calls add constraint calls_pkey PRIMARY KEY (id);
alter table checkpoints add constraint checkpoints_pkey PRIMARY KEY (id);
alter table checkpoints add constraint checkpoints_previous UNIQUE (previous);
alter table claims add constraint claims_account CHECK ((account_id <> ''::text));
alter table claims add constraint claims_account_id_user_id_scope_key_pk PRIMARY KEY (account_id, user_id, scope, key);
alter table connect_requests add constraint connect_requests_account CHECK ((account_id <> ''::text));
alter table connect_requests add constraint connect_requests_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table connect_requests add constraint connect_requests_credential FOREIGN KEY (account_id, credential_id) REFERENCES credentials(account_id, id) ON DELETE CASCADE;
alter table connect_requests add constraint connect_requests_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;
alter table connect_requests add constraint connect_requests_pkey PRIMARY KEY (hash);
alter table connector_documents add constraint connector_documents_account CHECK ((account_id <> ''::text));
alter table connector_documents add constraint connector_documents_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table connector_documents add constraint connector_documents_connector FOREIGN KEY (account_id, connector_id) REFERENCES connectors(account_id, id) ON DELETE CASCADE;
alter table connector_documents add constraint connector_documents_account_id_connector_id_pk PRIMARY KEY (account_id, connector_id);
alter table connectors add constraint connectors_account CHECK ((account_id <> ''::text));
alter table connectors add constraint connectors_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table connectors add constraint connectors_account_id_id_pk PRIMARY KEY (account_id, id);
alter table credentials add constraint credentials_account CHECK ((account_id <> ''::text));
alter table credentials add constraint credentials_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table credentials add constraint credentials_account_id_connector_id_connectors_account_id_id_fk FOREIGN KEY (account_id, connector_id) REFERENCES connectors(account_id, id) ON DELETE CASCADE;
alter table credentials add constraint credentials_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;
alter table credentials add constraint credentials_account_id_id_pk PRIMARY KEY (account_id, id);
alter table dashboard_sessions add constraint dashboard_sessions_account CHECK ((account_id <> ''::text));
alter table dashboard_sessions add constraint dashboard_sessions_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table dashboard_sessions add constraint dashboard_sessions_key_id_api_keys_id_fk FOREIGN KEY (key_id) REFERENCES api_keys(id) ON DELETE CASCADE;
alter table dashboard_sessions add constraint dashboard_sessions_pkey PRIMARY KEY (id);
alter table data_keys add constraint data_keys_account CHECK ((account_id <> ''::text));
alter table data_keys add constraint data_keys_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table data_keys add constraint data_keys_master_key FOREIGN KEY (kek_version) REFERENCES master_keys(live);
alter table data_keys add constraint data_keys_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;
alter table data_keys add constraint data_keys_pkey PRIMARY KEY (id);
alter table epochs add constraint epochs_pkey PRIMARY KEY (id);
alter table group_members add constraint group_members_account CHECK ((account_id <> ''::text));
alter table group_members add constraint group_members_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table group_members add constraint group_members_group_id_groups_id_fk FOREIGN KEY (group_id) REFERENCES groups(id) ON DELETE CASCADE;
alter table group_members add constraint group_members_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;
alter table group_members add constraint group_members_account_id_group_id_user_id_pk PRIMARY KEY (account_id, group_id, user_id);
alter table groups add constraint groups_account CHECK ((account_id <> ''::text));
alter table groups add constraint groups_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table groups add constraint groups_pkey PRIMARY KEY (id);
alter table groups add constraint groups_name UNIQUE (account_id, name);
alter table installation add constraint installation_pkey PRIMARY KEY (id);
alter table issuers add constraint issuers_account CHECK ((account_id <> ''::text));
alter table issuers add constraint issuers_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table issuers add constraint issuers_pkey PRIMARY KEY (id);
alter table issuers add constraint issuers_name UNIQUE (account_id, name);
alter table keyring add constraint keyring_master_key FOREIGN KEY (kek_version) REFERENCES master_keys(live);
alter table keyring add constraint keyring_purpose_version_pk PRIMARY KEY (purpose, version);
alter table limit_rules add constraint limit_rules_account CHECK ((account_id <> ''::text));
alter table limit_rules add constraint limit_rules_action CHECK (((action IS NULL) OR (connector_id IS NOT NULL)));
alter table limit_rules add constraint limit_rules_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table limit_rules add constraint limit_rules_group_id_groups_id_fk FOREIGN KEY (group_id) REFERENCES groups(id) ON DELETE CASCADE;
alter table limit_rules add constraint limit_rules_server_id_servers_id_fk FOREIGN KEY (server_id) REFERENCES servers(id) ON DELETE CASCADE;
alter table limit_rules add constraint limit_rules_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;
alter table limit_rules add constraint limit_rules_pkey PRIMARY KEY (id);
alter table master_key_holders add constraint master_key_holders_pkey PRIMARY KEY (replica);
alter table master_keys add constraint master_keys_check CHECK (((state = 'retired'::text) = (key_check IS NULL)));
alter table master_keys add constraint master_keys_live CHECK ((NOT (live IS DISTINCT FROM
CASE
    WHEN (state <> 'retired'::text) THEN version
    ELSE NULL::integer
END)));
alter table master_keys add constraint master_keys_pkey PRIMARY KEY (version);
alter table master_keys add constraint master_keys_key_id_unique UNIQUE (key_id);
alter table master_keys add constraint master_keys_live_unique UNIQUE (live);
alter table oauth_clients add constraint oauth_clients_account CHECK ((account_id <> ''::text));
alter table oauth_clients add constraint oauth_clients_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table oauth_clients add constraint oauth_clients_connector FOREIGN KEY (account_id, connector_id) REFERENCES connectors(account_id, id) ON DELETE CASCADE;
alter table oauth_clients add constraint oauth_clients_account_id_connector_id_issuer_pk PRIMARY KEY (account_id, connector_id, issuer);
alter table quota_counters add constraint quota_counters_account CHECK ((account_id <> ''::text));
alter table quota_counters add constraint quota_counters_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table quota_counters add constraint quota_counters_limit_id_limit_rules_id_fk FOREIGN KEY (limit_id) REFERENCES limit_rules(id) ON DELETE CASCADE;
alter table quota_counters add constraint quota_counters_account_id_limit_id_subject_day_pk PRIMARY KEY (account_id, limit_id, subject, day);
alter table rate_windows add constraint rate_windows_pkey PRIMARY KEY (key);
alter table replicas add constraint replicas_pkey PRIMARY KEY (id);
alter table revoked_tokens add constraint revoked_tokens_account CHECK ((account_id <> ''::text));
alter table revoked_tokens add constraint revoked_tokens_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table revoked_tokens add constraint revoked_tokens_issuer_id_issuers_id_fk FOREIGN KEY (issuer_id) REFERENCES issuers(id) ON DELETE CASCADE;
alter table revoked_tokens add constraint revoked_tokens_account_id_issuer_id_token_id_pk PRIMARY KEY (account_id, issuer_id, token_id);
alter table secrets add constraint secrets_account CHECK ((account_id <> ''::text));
alter table secrets add constraint secrets_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table secrets add constraint secrets_account_id_credential_id_credentials_account_id_id_fk FOREIGN KEY (account_id, credential_id) REFERENCES credentials(account_id, id) ON DELETE CASCADE;
alter table secrets add constraint secrets_account_id_credential_id_name_pk PRIMARY KEY (account_id, credential_id, name);
alter table servers add constraint servers_account CHECK ((account_id <> ''::text));
alter table servers add constraint servers_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table servers add constraint servers_owner_user_id_users_id_fk FOREIGN KEY (owner_user_id) REFERENCES users(id) ON DELETE SET NULL;
alter table servers add constraint servers_pkey PRIMARY KEY (id);
alter table servers add constraint servers_name UNIQUE (account_id, name);
alter table user_identities add constraint user_identities_account CHECK ((account_id <> ''::text));
alter table user_identities add constraint user_identities_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table user_identities add constraint user_identities_issuer_id_issuers_id_fk FOREIGN KEY (issuer_id) REFERENCES issuers(id) ON DELETE CASCADE;
alter table user_identities add constraint user_identities_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;
alter table user_identities add constraint user_identities_account_id_issuer_id_subject_pk PRIMARY KEY (account_id, issuer_id, subject);
alter table users add constraint users_account CHECK ((account_id <> ''::text));
alter table users add constraint users_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table users add constraint users_pkey PRIMARY KEY (id);
alter table users add constraint users_username UNIQUE (account_id, username);
alter table valet_migrations add constraint valet_migrations_pkey PRIMARY KEY (tag);
alter table webhook_deliveries add constraint webhook_deliveries_account CHECK ((account_id <> ''::text));
alter table webhook_deliveries add constraint webhook_deliveries_account_id_accounts_id_fk FOREIGN KEY (account_id) REFERENCES accounts(id) ON DELETE CASCADE;
alter table webhook_deliveries add constraint webhook_deliveries_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX api_keys_hash ON public.api_keys USING btree (hash);
CREATE INDEX api_keys_server ON public.api_keys USING btree (server_id);
CREATE INDEX api_keys_user ON public.api_keys USING btree (account_id, user_id);
CREATE INDEX audit_account_action ON public.audit_events USING btree (account_id, action, seq);
CREATE INDEX audit_account_actor ON public.audit_events USING btree (account_id, actor_user_id, seq) WHERE (actor_user_id IS NOT NULL);
CREATE INDEX audit_account_key ON public.audit_events USING btree (account_id, actor_key_id, seq) WHERE (actor_key_id IS NOT NULL);
CREATE INDEX audit_account_seq ON public.audit_events USING btree (account_id, seq);
CREATE INDEX audit_account_user ON public.audit_events USING btree (account_id, user_id, seq);
CREATE INDEX audit_request ON public.audit_events USING btree (request_id) WHERE (request_id IS NOT NULL);
CREATE INDEX audit_xid ON public.audit_events USING btree (xid);
CREATE INDEX calls_account_seq ON public.calls USING btree (account_id, seq);
CREATE INDEX calls_account_user ON public.calls USING btree (account_id, user_id, seq);
CREATE INDEX calls_open ON public.calls USING btree (lease_until) WHERE (outcome IS NULL);
CREATE INDEX calls_outcome_xid ON public.calls USING btree (outcome_xid) WHERE (outcome_xid IS NOT NULL);
CREATE INDEX calls_request ON public.calls USING btree (request_id);
CREATE INDEX calls_xid ON public.calls USING btree (xid);
CREATE INDEX checkpoints_closing ON public.checkpoints USING btree (id) WHERE (closing IS NOT NULL);
CREATE INDEX claims_expiry ON public.claims USING btree (expires_at);
CREATE INDEX connect_requests_expiry ON public.connect_requests USING btree (expires_at);
CREATE UNIQUE INDEX connect_requests_state ON public.connect_requests USING btree (state_hash);
CREATE INDEX connect_requests_user ON public.connect_requests USING btree (account_id, user_id, connector_id);
CREATE UNIQUE INDEX credentials_default ON public.credentials USING btree (account_id, user_id, connector_id) WHERE is_default;
CREATE INDEX credentials_shared ON public.credentials USING btree (account_id, connector_id) WHERE shared;
CREATE INDEX credentials_user ON public.credentials USING btree (account_id, user_id, connector_id);
CREATE INDEX dashboard_sessions_expiry ON public.dashboard_sessions USING btree (expires_at);
CREATE UNIQUE INDEX dashboard_sessions_hash ON public.dashboard_sessions USING btree (hash);
CREATE INDEX dashboard_sessions_key ON public.dashboard_sessions USING btree (key_id);
CREATE UNIQUE INDEX data_keys_current ON public.data_keys USING btree (account_id, user_id) WHERE is_current;
CREATE INDEX group_members_user ON public.group_members USING btree (account_id, user_id);
CREATE INDEX issuers_issuer ON public.issuers USING btree (issuer);
CREATE INDEX limit_rules_account ON public.limit_rules USING btree (account_id, created_at);
CREATE UNIQUE INDEX master_keys_current ON public.master_keys USING btree (state) WHERE (state = ANY (ARRAY['current'::text, 'next'::text]));
CREATE INDEX revoked_tokens_expiry ON public.revoked_tokens USING btree (expires_at);
CREATE INDEX user_identities_user ON public.user_identities USING btree (account_id, user_id);
CREATE INDEX webhook_deliveries_next ON public.webhook_deliveries USING btree (next_at) WHERE (next_at IS NOT NULL);

create sequence calls_outcome_seq;

alter table account_settings enable row level security, force row level security;
alter table accounts enable row level security, force row level security;
alter table api_keys enable row level security, force row level security;
alter table audit_events enable row level security, force row level security;
alter table calls enable row level security, force row level security;
alter table checkpoints enable row level security, force row level security;
alter table claims enable row level security, force row level security;
alter table connect_requests enable row level security, force row level security;
alter table connector_documents enable row level security, force row level security;
alter table connectors enable row level security, force row level security;
alter table credentials enable row level security, force row level security;
alter table dashboard_sessions enable row level security, force row level security;
alter table data_keys enable row level security, force row level security;
alter table epochs enable row level security, force row level security;
alter table group_members enable row level security, force row level security;
alter table groups enable row level security, force row level security;
alter table installation enable row level security, force row level security;
alter table issuers enable row level security, force row level security;
alter table keyring enable row level security, force row level security;
alter table limit_rules enable row level security, force row level security;
alter table master_key_holders enable row level security, force row level security;
alter table master_keys enable row level security, force row level security;
alter table oauth_clients enable row level security, force row level security;
alter table quota_counters enable row level security, force row level security;
alter table rate_windows enable row level security, force row level security;
alter table replicas enable row level security, force row level security;
alter table revoked_tokens enable row level security, force row level security;
alter table secrets enable row level security, force row level security;
alter table servers enable row level security, force row level security;
alter table user_identities enable row level security, force row level security;
alter table users enable row level security, force row level security;
alter table valet_migrations disable row level security, no force row level security;
alter table webhook_deliveries enable row level security, force row level security;

create policy account_wall on account_settings as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on account_settings as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy due_settings on account_settings as permissive for select to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy account_delete on accounts as permissive for delete to valet_app
  using ((id = ( SELECT valet_scope_account() AS valet_scope_account)) AND (( SELECT valet_scope_user() AS valet_scope_user) = '*'::text));
create policy account_insert on accounts as permissive for insert to valet_app
  with check ((id = ( SELECT valet_scope_account() AS valet_scope_account)) AND (( SELECT valet_scope_user() AS valet_scope_user) = '*'::text));
create policy account_update on accounts as permissive for update to valet_app
  using ((id = ( SELECT valet_scope_account() AS valet_scope_account)) AND (( SELECT valet_scope_user() AS valet_scope_user) = '*'::text))
  with check ((id = ( SELECT valet_scope_account() AS valet_scope_account)) AND (( SELECT valet_scope_user() AS valet_scope_user) = '*'::text));
create policy account_wall on accounts as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) OR (( SELECT valet_scope_account() AS valet_scope_account) = id));
create policy backup on accounts as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy account_wall on api_keys as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on api_keys as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy sign_in on api_keys as permissive for select to valet_app
  using (hash = ( SELECT valet_scope_key_hash() AS valet_scope_key_hash));
create policy user_wall on api_keys as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy account_wall on audit_events as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on audit_events as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy keep on audit_events as restrictive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'retention'::text) AND (xid < ( SELECT valet_closed_below() AS valet_closed_below)));
create policy retention on audit_events as permissive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'retention'::text));
create policy seal on audit_events as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = ANY (ARRAY['seal'::text, 'retention'::text])));
create policy user_wall on audit_events as restrictive for select to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])) OR (actor_user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy account_wall on calls as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on calls as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy keep on calls as restrictive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'retention'::text) AND (xid < ( SELECT valet_closed_below() AS valet_closed_below)) AND (outcome_xid < ( SELECT valet_closed_below() AS valet_closed_below)));
create policy retention on calls as permissive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'retention'::text));
create policy sweep on calls as permissive for select to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy sweep_update on calls as permissive for update to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (outcome IS NULL))
  with check ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (outcome IS NOT NULL));
create policy user_wall on calls as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy backup on checkpoints as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy installation_wall on checkpoints as permissive for all to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text)
  with check (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy keep on checkpoints as restrictive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'retention'::text) AND (id <= ( SELECT valet_closed_through() AS valet_closed_through)));
create policy account_wall on claims as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on claims as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy sweep on claims as permissive for select to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy sweep_delete on claims as permissive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (expires_at <= now()));
create policy user_wall on claims as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy account_wall on connect_requests as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on connect_requests as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy opened on connect_requests as permissive for select to valet_app
  using ((hash = ( SELECT valet_scope_key_hash() AS valet_scope_key_hash)) OR (state_hash = ( SELECT valet_scope_key_hash() AS valet_scope_key_hash)));
create policy sweep on connect_requests as permissive for select to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy sweep_delete on connect_requests as permissive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (expires_at <= now()));
create policy user_wall on connect_requests as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])) OR (hash = ( SELECT valet_scope_key_hash() AS valet_scope_key_hash)) OR (state_hash = ( SELECT valet_scope_key_hash() AS valet_scope_key_hash)))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy account_wall on connector_documents as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on connector_documents as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy account_wall on connectors as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on connectors as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy account_wall on credentials as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on credentials as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy user_wall on credentials as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy account_wall on dashboard_sessions as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on dashboard_sessions as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy sign_in on dashboard_sessions as permissive for select to valet_app
  using (hash = ( SELECT valet_scope_key_hash() AS valet_scope_key_hash));
create policy sweep on dashboard_sessions as permissive for select to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy sweep_delete on dashboard_sessions as permissive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (expires_at <= now()));
create policy user_wall on dashboard_sessions as restrictive for all to valet_app
  using (( SELECT valet_scope_user() AS valet_scope_user) = '*'::text)
  with check (( SELECT valet_scope_user() AS valet_scope_user) = '*'::text);
create policy account_wall on data_keys as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on data_keys as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy rewrap on data_keys as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'rotation'::text));
create policy rewrap_update on data_keys as permissive for update to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'rotation'::text))
  with check ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'rotation'::text));
create policy user_wall on data_keys as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy backup on epochs as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy installation_wall on epochs as permissive for all to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text)
  with check (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy account_wall on group_members as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on group_members as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy user_wall on group_members as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy account_wall on groups as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on groups as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy backup on installation as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy installation_wall on installation as permissive for all to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text)
  with check (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy account_wall on issuers as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on issuers as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy presented on issuers as permissive for select to valet_app
  using (issuer = ( SELECT valet_scope_issuer() AS valet_scope_issuer));
create policy backup on keyring as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy installation_wall on keyring as permissive for all to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text)
  with check (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy account_wall on limit_rules as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on limit_rules as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy user_wall on limit_rules as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy backup on master_key_holders as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy installation_wall on master_key_holders as permissive for all to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text)
  with check (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy backup on master_keys as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy installation_wall on master_keys as permissive for all to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text)
  with check (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy account_wall on oauth_clients as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on oauth_clients as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy account_wall on quota_counters as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on quota_counters as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy sweep on quota_counters as permissive for select to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy sweep_delete on quota_counters as permissive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (day < (CURRENT_DATE - 1)));
create policy backup on rate_windows as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy installation_wall on rate_windows as permissive for all to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text)
  with check (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy backup on replicas as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy installation_wall on replicas as permissive for all to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text)
  with check (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy account_wall on revoked_tokens as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on revoked_tokens as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy sweep on revoked_tokens as permissive for select to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy sweep_delete on revoked_tokens as permissive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (expires_at <= now()));
create policy account_wall on secrets as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on secrets as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy user_wall on secrets as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy account_wall on servers as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on servers as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy presented on servers as permissive for select to valet_app
  using (id = ( SELECT valet_scope_server() AS valet_scope_server));
create policy account_wall on user_identities as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on user_identities as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy user_wall on user_identities as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (user_id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy account_wall on users as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on users as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy user_wall on users as restrictive for all to valet_app
  using ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])))
  with check ((( SELECT valet_scope_user() AS valet_scope_user) = '*'::text) OR (id = ANY (( SELECT valet_scope_users() AS valet_scope_users)::text[])));
create policy account_wall on webhook_deliveries as permissive for all to valet_app
  using (account_id = ( SELECT valet_scope_account() AS valet_scope_account))
  with check (account_id = ( SELECT valet_scope_account() AS valet_scope_account));
create policy backup on webhook_deliveries as permissive for select to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (( SELECT valet_scope_task() AS valet_scope_task) = 'backup'::text));
create policy due on webhook_deliveries as permissive for select to valet_app
  using (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy due_update on webhook_deliveries as permissive for update to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (next_at IS NOT NULL))
  with check (( SELECT valet_scope_account() AS valet_scope_account) = '*'::text);
create policy sweep_delivered on webhook_deliveries as permissive for delete to valet_app
  using ((( SELECT valet_scope_account() AS valet_scope_account) = '*'::text) AND (next_at IS NULL));

CREATE OR REPLACE FUNCTION public.valet_beat_replica(replica text, alive_ms integer)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  if alive_ms = 0 then
    delete from replicas where id = replica;
    return 0;
  end if;
  delete from replicas where seen_at < clock_timestamp() - interval '1 hour';
  insert into replicas values (replica, clock_timestamp()) on conflict (id) do update set seen_at = excluded.seen_at;
  return (select count(*) from replicas where seen_at > clock_timestamp() - alive_ms * interval '1 millisecond');
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_begin_calls(batch json)
 RETURNS TABLE(call_id text, state text, status integer, answer bytea, first_call_id text)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  part record;
  r record;
  standing record;
  won text[];
  refused text[];
begin
  perform set_config('role', 'valet_app', true), set_config('valet.user_id', '*', true), set_config('enable_seqscan', 'off', true);
  for part in
    select g.account, g.keyed, g.rows from json_to_recordset(batch) as g(account text, keyed boolean, rows json) order by g.account collate "C"
  loop
    perform set_config('valet.account_id', part.account, true);
    refused := '{}';
    if part.keyed then
      -- Takes over claims that are past their 24 hours and leaves all others alone; waits for a claim that is being committed right now.
      -- Of several equal keys in one batch the first gets the claim.
      with taken as (
        insert into claims as c (account_id, user_id, scope, key, fingerprint, call_id, state, lease_until, expires_at)
        select distinct on (k.claim_user collate "C", k.claim_scope collate "C", k.key collate "C")
          part.account, k.claim_user, k.claim_scope, k.key, decode(k.fingerprint, 'hex'), k.id, 'running',
          now() + k.lease_ms * interval '1 millisecond', now() + k.claim_ttl_ms * interval '1 millisecond'
        from json_to_recordset(part.rows)
          as k(id text, claim_user text, claim_scope text, key text, fingerprint text, lease_ms integer, claim_ttl_ms integer)
        where k.key is not null
        order by k.claim_user collate "C", k.claim_scope collate "C", k.key collate "C"
        on conflict (account_id, user_id, scope, key) do update
          set fingerprint = excluded.fingerprint, call_id = excluded.call_id, state = 'running', lease_until = excluded.lease_until,
              expires_at = excluded.expires_at, status = null, answer = null, created_at = now()
          where c.expires_at <= now()
        returning c.call_id
      )
      select coalesce(array_agg(call_id), '{}') into won from taken;
      -- Rare: one look-up each, on the primary key.
      for r in
        select k.* from json_to_recordset(part.rows) as k(id text, claim_user text, claim_scope text, key text, fingerprint text)
        where k.key is not null and k.id <> all (won)
      loop
        refused := refused || r.id;
        select c.* into standing from claims c
        where c.account_id = part.account and c.user_id = r.claim_user and c.scope = r.claim_scope and c.key = r.key;
        call_id := r.id;
        -- Not found: released between the two statements. "running" makes the caller try again, which is right.
        state := case when not found then 'running'
                      when standing.fingerprint <> decode(r.fingerprint, 'hex') then 'mismatch'
                      when standing.state = 'running' and standing.lease_until <= now() then 'unknown'
                      else standing.state end;
        status := standing.status;
        answer := standing.answer;
        first_call_id := standing.call_id;
        return next;
      end loop;
    end if;
    insert into calls (id, account_id, lease_until, user_id, actor_key_id, actor_kind, attempted_user, server_id, connector_id, tool, credential_id,
      args_digest, lane, request_id, idempotency_key, address, outcome, reason, upstream_status, latency_ms, outcome_digest,
      outcome_seq, outcome_xid)
    select i.id, part.account, now() + i.lease_ms * interval '1 millisecond', i.user_id, i.actor_key_id, i.actor_kind, i.attempted_user, i.server_id,
      i.connector_id, i.tool, i.credential_id, decode(i.args_digest, 'hex'), i.lane, i.request_id, i.key, i.address, i.outcome, i.reason,
      i.upstream_status, i.latency_ms, decode(i.outcome_digest, 'hex'),
      case when i.outcome is not null then nextval('calls_outcome_seq') end, case when i.outcome is not null then valet_trail_xid(pg_current_xact_id()) end
    from json_to_recordset(part.rows) as i(id text, user_id text, actor_key_id text, actor_kind text, attempted_user text, server_id text, connector_id text,
      tool text, credential_id text, args_digest text, lane text, request_id text, key text, address text, lease_ms integer,
      outcome text, reason text, upstream_status integer, latency_ms integer, outcome_digest text)
    where i.id <> all (refused);
  end loop;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_closed_below()
 RETURNS xid8
 LANGUAGE sql
 STABLE
AS $function$ select (closing->>'floor')::xid8 from checkpoints where closing is not null order by id desc limit 1 $function$
;
CREATE OR REPLACE FUNCTION public.valet_closed_through()
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$ select (closing->>'through')::bigint from checkpoints where closing is not null order by id desc limit 1 $function$
;
CREATE OR REPLACE FUNCTION public.valet_end_calls(batch json)
 RETURNS TABLE(late_call_id text)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  part record;
  r record;
  ids text[];
  ended integer;
begin
  -- The list of ids makes the primary key the only way to the rows that fits. With a join alone the planner, knowing nothing of a young table,
  -- walks the whole of it, and keeps that plan. One plan for all sizes: for small batches it would be made anew each time.
  perform set_config('role', 'valet_app', true), set_config('valet.user_id', '*', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true);
  for part in
    select g.account, g.keyed, g.rows from json_to_recordset(batch) as g(account text, keyed boolean, rows json) order by g.account collate "C"
  loop
    perform set_config('valet.account_id', part.account, true);
    ids := array(select e.id from json_to_recordset(part.rows) as e(id text));
    update calls c set outcome = e.outcome, reason = e.reason, upstream_status = e.upstream_status, latency_ms = e.latency_ms,
      outcome_digest = decode(e.outcome_digest, 'hex'), outcome_seq = nextval('calls_outcome_seq'), outcome_xid = valet_trail_xid(pg_current_xact_id())
    from json_to_recordset(part.rows)
      as e(id text, outcome text, reason text, upstream_status integer, latency_ms integer, outcome_digest text)
    where c.id = any (ids) and c.id = e.id and coalesce(c.account_id, '') = part.account and coalesce(c.outcome, '') = '';
    get diagnostics ended = row_count;
    -- Rare: the sweeper was faster, or the row is not this account's.
    if ended < cardinality(ids) then
      return query
      select e.id from unnest(ids) as e(id)
      where (select c.outcome_xid from calls c where c.id = e.id) is distinct from valet_trail_xid(pg_current_xact_id());
    end if;
    if part.keyed then
      -- In the order in which `valet_begin_calls` takes claims.
      for r in
        select k.* from json_to_recordset(part.rows)
          as k(id text, claim text, claim_user text, claim_scope text, key text, status integer, answer text)
        where k.claim is not null
        order by k.claim_user collate "C", k.claim_scope collate "C", k.key collate "C"
      loop
        if r.claim = 'released' then
          delete from claims c where c.account_id = part.account and c.user_id = r.claim_user and c.scope = r.claim_scope and c.key = r.key
            and c.call_id = r.id and c.state = 'running';
        else
          update claims c set state = r.claim, status = r.status, answer = decode(r.answer, 'base64')
          where c.account_id = part.account and c.user_id = r.claim_user and c.scope = r.claim_scope and c.key = r.key
            and c.call_id = r.id and c.state = 'running';
        end if;
      end loop;
    end if;
  end loop;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_epoch(place text)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
declare
  here text;
  newest epochs%rowtype;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  select concat_ws(' ', s.system_identifier, c.timeline_id, d.oid, place) into here
    from pg_control_system() s, pg_control_checkpoint() c, pg_database d where d.datname = current_database();
  for attempt in 1..2 loop
    select e.* into newest from epochs e order by e.id desc limit 1;
    if newest.place = here then return newest.epoch; end if;
    -- Replicas that start at once begin one segment.
    if attempt = 1 then perform pg_advisory_xact_lock(7201925315); end if;
  end loop;
  insert into epochs (epoch, place) values (replace(gen_random_uuid()::text, '-', ''), here) returning epochs.epoch into newest.epoch;
  return newest.epoch;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_find_connect(link_hash bytea)
 RETURNS TABLE(account_id text, user_id text, hash bytea)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '', true),
    set_config('valet.key_hash', encode(link_hash, 'hex'), true);
  return query select r.account_id, r.user_id, r.hash from connect_requests r where r.hash = link_hash or r.state_hash = link_hash;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_find_ended(connected json)
 RETURNS TABLE(n integer)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare part record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.user_id', '*', true);
  for part in
    select c.account, json_agg(c.one) as ones
    from (select e->>'account' as account, e as one from json_array_elements(connected) as e) as c group by c.account
  loop
    perform set_config('valet.account_id', part.account, true);
    return query
    select o.n
    from json_to_recordset(part.ones)
      as o(n integer, key text, kind text, "user" text, server text, issuer text, token text, since double precision)
      left join accounts a on a.id = part.account
      left join users u on u.account_id = part.account and u.id = o."user"
      left join api_keys k on k.account_id = part.account and k.id = o.key
      left join users p on p.account_id = part.account and p.id = k.user_id
      left join api_keys m on m.account_id = part.account and m.id = k.delegation->>'mintedBy'
      left join users q on q.account_id = part.account and q.id = m.user_id
      left join issuers i on i.account_id = part.account and i.id = o.issuer
      left join servers s on s.account_id = part.account and s.id = o.server
    where a.enabled is not true
      or u.enabled is not true
      or (o.server is not null and s.id is null)
      or (o.key is not null and o.kind <> 'jwt' and (
        k.id is null or k.revoked_at is not null or k.expires_at <= clock_timestamp()
        or (k.user_id is not null and p.enabled is not true)
        or not (k.allowed_users is null or o."user" = any (k.allowed_users))
        or (k.kind <> 'usr' and not (k.scopes is null or exists (
          select from unnest(k.scopes) as h(scope)
          where h.scope = 'tools:call' or (right(h.scope, 1) = '*' and starts_with('tools:call', left(h.scope, -1))))))
        or (k.kind = 'usr' and (
          m.id is null or m.revoked_at is not null or m.expires_at <= clock_timestamp() or (m.user_id is not null and q.enabled is not true)
          or not (m.allowed_users is null or o."user" = any (m.allowed_users))))))
      or (o.issuer is not null and (
        -- The embedding application's own sign-in is no row.
        (o.issuer <> 'verifyToken' and i.enabled is not true)
        or extract(epoch from u.tokens_not_before) * 1000 > o.since
        or exists (select from revoked_tokens r where r.account_id = part.account and r.issuer_id = o.issuer and r.token_id = o.token)));
  end loop;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_find_issuers(iss text)
 RETURNS TABLE(id text, account_id text, account_enabled boolean, name text, type text, issuer text, config jsonb, secret bytea, enabled boolean)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare i record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
    set_config('valet.issuer', iss, true);
  for i in select * from issuers x where x.issuer = iss order by x.id collate "C" loop
    perform set_config('valet.account_id', i.account_id, true);
    return query select i.id, i.account_id, a.enabled, i.name, i.type, i.issuer, i.config, i.secret, i.enabled from accounts a where a.id = i.account_id;
  end loop;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_find_principal(key_hash bytea)
 RETURNS TABLE(key_id text, kind text, account_id text, key_name text, user_id text, username text, user_enabled boolean, server_id text, acts_for_users boolean, owner_user_id text, owner_username text, owner_enabled boolean, remaining_ms double precision, revoked boolean, scopes text[], allowed_users text[], delegation jsonb, account_enabled boolean)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare k record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
    set_config('valet.key_hash', encode(key_hash, 'hex'), true);
  select a.id, a.kind, a.account_id, a.name, a.user_id, a.server_id, a.expires_at, a.revoked_at, a.scopes, a.allowed_users, a.delegation
    into k from api_keys a where a.hash = key_hash;
  if not found then return; end if;
  perform set_config('valet.account_id', k.account_id, true);
  return query
  select k.id, k.kind, k.account_id, k.name, k.user_id, u.username, u.enabled, k.server_id, s.acts_for_users, s.owner_user_id, o.username, o.enabled,
    -- Counted by the database clock; the caller counts down monotonically. Null: never expires.
    (extract(epoch from k.expires_at - clock_timestamp()) * 1000)::double precision,
    k.revoked_at is not null or (k.kind = 'usr' and not exists (
      select from api_keys m left join users p on p.account_id = m.account_id and p.id = m.user_id
      where m.account_id = k.account_id and m.id = k.delegation->>'mintedBy' and m.revoked_at is null
        and (m.expires_at is null or m.expires_at > clock_timestamp()) and (m.user_id is null or p.enabled)
        -- Narrowed since: the key could not mint it any more.
        and (m.allowed_users is null or k.user_id = any (m.allowed_users)))),
    k.scopes, k.allowed_users, k.delegation, a.enabled
  from (select) as one
    left join accounts a on a.id = k.account_id
    left join users u on u.account_id = k.account_id and u.id = k.user_id
    left join servers s on s.account_id = k.account_id and s.id = k.server_id
    left join users o on o.account_id = k.account_id and o.id = s.owner_user_id;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_find_server_account(server text)
 RETURNS TABLE(account_id text, account_enabled boolean)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare s record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
    set_config('valet.server_id', server, true);
  select x.account_id into s from servers x where x.id = server;
  if not found then return; end if;
  perform set_config('valet.account_id', s.account_id, true);
  return query select a.id, a.enabled from accounts a where a.id = s.account_id;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_find_session(session_hash bytea)
 RETURNS TABLE(session_id text, session_ms double precision, admitted_by text[], key_id text, kind text, account_id text, key_name text, user_id text, username text, user_enabled boolean, server_id text, acts_for_users boolean, owner_user_id text, owner_username text, owner_enabled boolean, remaining_ms double precision, revoked boolean, scopes text[], allowed_users text[], delegation jsonb, account_enabled boolean)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  s record;
  key_hash bytea;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
    set_config('valet.key_hash', encode(session_hash, 'hex'), true);
  select d.id, d.account_id, d.key_id, d.expires_at, d.admitted_by into s from dashboard_sessions d where d.hash = session_hash;
  if not found then return; end if;
  perform set_config('valet.account_id', s.account_id, true);
  select a.hash into key_hash from api_keys a where a.account_id = s.account_id and a.id = s.key_id;
  if not found then return; end if;
  return query
  select s.id, (extract(epoch from s.expires_at - clock_timestamp()) * 1000)::double precision, s.admitted_by, p.*
  from valet_find_principal(key_hash) p;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_give_back_window(wanted text, ms integer, age_ms double precision, at_ms double precision)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
declare
  w rate_windows%rowtype;
  now_ms double precision;
  i integer;
  slot bigint;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  select r.* into w from rate_windows r where r.key = wanted and r.window_ms = ms for update;
  if not found then return; end if;
  now_ms := coalesce(at_ms, extract(epoch from clock_timestamp()) * 1000);
  w := valet_window_at(w, ms, floor(now_ms * 60 / ms)::bigint);
  slot := greatest(floor((now_ms - age_ms) * 60 / ms)::bigint, w.newest - 60);
  -- A loop over integers would end at 2^31: a second's slots are beyond it.
  while slot <= w.newest loop
    i := slot % 61 + 1;
    if w.slots[i] > 0 then
      w.slots[i] := w.slots[i] - 1;
      update rate_windows r set newest = w.newest, slots = w.slots, total = w.total - 1 where r.key = wanted;
      return;
    end if;
    slot := slot + 1;
  end loop;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_keep_open_rows()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if tg_table_name = 'checkpoints' then
    if old.id <= valet_closed_through() then return old; end if;
  elsif tg_table_name = 'audit_events' then
    if old.xid < valet_closed_below() then return old; end if;
  elsif tg_table_name = 'calls' then
    if old.xid < valet_closed_below() and old.outcome_xid < valet_closed_below() then return old; end if;
  end if;
  raise exception 'DELETE on % is refused: no closing checkpoint covers the row', tg_table_name using errcode = 'restrict_violation';
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_peek_window(wanted text, ms integer, most integer, at_ms double precision)
 RETURNS TABLE(current integer, ttl double precision)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
declare
  w rate_windows%rowtype;
  now_ms double precision := coalesce(at_ms, extract(epoch from clock_timestamp()) * 1000);
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  select r.* into w from rate_windows r where r.key = wanted and r.window_ms = ms;
  current := 0;
  ttl := 0;
  if found then
    w := valet_window_at(w, ms, floor(now_ms * 60 / ms)::bigint);
    current := w.total;
    if w.total > 0 then ttl := valet_window_ttl(w, least(most, w.total), now_ms); end if;
  end if;
  return next;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_refuse()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception '% on % is refused: %', tg_op, tg_table_name, tg_argv[0] using errcode = 'restrict_violation';
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_scope_account()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select nullif(current_setting('valet.account_id', true), '') $function$
;
CREATE OR REPLACE FUNCTION public.valet_scope_issuer()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select nullif(current_setting('valet.issuer', true), '') $function$
;
CREATE OR REPLACE FUNCTION public.valet_scope_key_hash()
 RETURNS bytea
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select decode(nullif(current_setting('valet.key_hash', true), ''), 'hex') $function$
;
CREATE OR REPLACE FUNCTION public.valet_scope_server()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select nullif(current_setting('valet.server_id', true), '') $function$
;
CREATE OR REPLACE FUNCTION public.valet_scope_task()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select nullif(current_setting('valet.task', true), '') $function$
;
CREATE OR REPLACE FUNCTION public.valet_scope_user()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select nullif(current_setting('valet.user_id', true), '') $function$
;
CREATE OR REPLACE FUNCTION public.valet_scope_users()
 RETURNS text[]
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select string_to_array(nullif(current_setting('valet.user_id', true), ''), ' ') $function$
;
CREATE OR REPLACE FUNCTION public.valet_sweep_calls(grace_ms integer, most integer)
 RETURNS TABLE(call_id text, account text)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  delete from claims where expires_at <= now();
  return query
  update calls c set outcome = 'unknown', reason = 'lease_over', outcome_seq = nextval('calls_outcome_seq'), outcome_xid = valet_trail_xid(pg_current_xact_id())
  where c.outcome is null and c.id in (
    select o.id from calls o where o.outcome is null and o.lease_until < now() - grace_ms * interval '1 millisecond'
    order by o.lease_until limit most for update skip locked)
  returning c.id, c.account_id;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_sweep_windows()
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
declare
  gone bigint := 0;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  if pg_try_advisory_xact_lock(7201925330) then
    delete from rate_windows where expires_at < clock_timestamp();
    get diagnostics gone = row_count;
  end if;
  return gone;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_take_quotas(wanted json)
 RETURNS TABLE(limit_id text, used integer, most integer, refused boolean, reset_ms double precision)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
declare
  account text := wanted ->> 'account';
  q record;
  now_utc timestamp := clock_timestamp() at time zone 'utc';
  today date := now_utc::date;
  taken text[] := '{}';
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', account, true), set_config('valet.user_id', '*', true);
  reset_ms := extract(epoch from (today + 1)::timestamp - now_utc) * 1000;
  for q in
    select r.id, r.max, w.subject from json_to_recordset(wanted -> 'quotas') as w(id text, subject text)
      join limit_rules r on r.account_id = account and r.id = w.id and r.window_seconds is null
    order by r.id collate "C", w.subject collate "C"
  loop
    limit_id := q.id;
    most := q.max;
    used := null;
    if q.max > 0 then
      insert into quota_counters as c (account_id, limit_id, subject, day, used) values (account, q.id, q.subject, today, 1)
        on conflict (account_id, limit_id, subject, day) do update set used = c.used + 1 where c.used < q.max
        returning c.used into used;
    end if;
    refused := used is null;
    if refused then
      -- Nobody has seen the others: their rows are ours until the transaction ends.
      update quota_counters c set used = c.used - 1 from unnest(taken) as t(id)
        join json_to_recordset(wanted -> 'quotas') as w(id text, subject text) on w.id = t.id
        where c.account_id = account and c.limit_id = w.id and c.subject = w.subject and c.day = today;
      used := q.max;
      return next;
      return;
    end if;
    taken := taken || q.id;
    return next;
  end loop;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_take_window(wanted text, ms integer, most integer, extra integer, at_ms double precision)
 RETURNS TABLE(current integer, ttl double precision)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
declare
  w rate_windows%rowtype;
  now_ms double precision;
  i integer;
  n integer := extra;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  loop
    select r.* into w from rate_windows r where r.key = wanted for update;
    exit when found;
    insert into rate_windows values (wanted, ms, 0, array_fill(0, array[61]), 0, now()) on conflict do nothing;
  end loop;
  now_ms := coalesce(at_ms, extract(epoch from clock_timestamp()) * 1000);
  w := valet_window_at(w, ms, floor(now_ms * 60 / ms)::bigint);
  i := w.newest % 61 + 1;
  w.total := w.total + extra;
  w.slots[i] := w.slots[i] + extra;
  if w.total < most then
    w.total := w.total + 1;
    w.slots[i] := w.slots[i] + 1;
    n := n + 1;
    current := w.total;
    ttl := valet_window_ttl(w, w.total, now_ms);
  else
    current := most + 1;
    ttl := valet_window_ttl(w, most, now_ms);
  end if;
  if n > 0 then
    update rate_windows r set window_ms = w.window_ms, newest = w.newest, slots = w.slots, total = w.total,
      expires_at = clock_timestamp() + ms * interval '1.05 milliseconds' where r.key = wanted;
  end if;
  return next;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_trail_xid(xid xid8)
 RETURNS xid8
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ select xid $function$
;
CREATE OR REPLACE FUNCTION public.valet_window_at(w rate_windows, ms integer, slot bigint)
 RETURNS rate_windows
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
declare
  i integer;
begin
  if w.window_ms <> ms then
    w.window_ms := ms;
    w.newest := slot;
    w.slots := array_fill(0, array[61]);
    w.total := 0;
  end if;
  for step in 1..least(slot - w.newest, 61) loop
    i := (w.newest + step) % 61 + 1;
    w.total := w.total - w.slots[i];
    w.slots[i] := 0;
  end loop;
  w.newest := greatest(w.newest, slot);
  return w;
end $function$
;
CREATE OR REPLACE FUNCTION public.valet_window_ttl(w rate_windows, most integer, now_ms double precision)
 RETURNS double precision
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
declare
  kept integer := w.total;
begin
  for age in reverse 60..0 loop
    kept := kept - w.slots[(w.newest - age + 61) % 61 + 1];
    if kept < most then return greatest(1, ceil((w.newest - age + 61)::double precision * w.window_ms / 60 - now_ms)); end if;
  end loop;
  return ceil(w.window_ms / 60.0 * 61);
end $function$
;

CREATE TRIGGER audit_events_keep BEFORE UPDATE OR TRUNCATE ON public.audit_events FOR EACH STATEMENT EXECUTE FUNCTION valet_refuse('the audit trail is append-only');
CREATE TRIGGER audit_events_keep_all BEFORE DELETE ON public.audit_events FOR EACH STATEMENT WHEN ((current_setting('valet.task'::text, true) IS DISTINCT FROM 'retention'::text)) EXECUTE FUNCTION valet_refuse('the audit trail is append-only');
CREATE TRIGGER audit_events_keep_open BEFORE DELETE ON public.audit_events FOR EACH ROW EXECUTE FUNCTION valet_keep_open_rows();
CREATE TRIGGER calls_intent BEFORE UPDATE OF seq, xid, format, id, account_id, at, lease_until, user_id, actor_key_id, actor_kind, attempted_user, server_id, connector_id, tool, credential_id, args_digest, lane, request_id, idempotency_key, address ON public.calls FOR EACH STATEMENT EXECUTE FUNCTION valet_refuse('an intent does not change');
CREATE TRIGGER calls_keep BEFORE TRUNCATE ON public.calls FOR EACH STATEMENT EXECUTE FUNCTION valet_refuse('the journal is append-only');
CREATE TRIGGER calls_keep_all BEFORE DELETE ON public.calls FOR EACH STATEMENT WHEN ((current_setting('valet.task'::text, true) IS DISTINCT FROM 'retention'::text)) EXECUTE FUNCTION valet_refuse('the journal is append-only');
CREATE TRIGGER calls_keep_open BEFORE DELETE ON public.calls FOR EACH ROW EXECUTE FUNCTION valet_keep_open_rows();
CREATE TRIGGER calls_once AFTER UPDATE ON public.calls FOR EACH ROW WHEN (((old.outcome IS NOT NULL) OR (new.outcome IS NULL) OR (new.outcome_seq IS NULL) OR (new.outcome_xid IS DISTINCT FROM valet_trail_xid(pg_current_xact_id())))) EXECUTE FUNCTION valet_refuse('an outcome is written once, with its position');
CREATE TRIGGER calls_stamped AFTER INSERT ON public.calls FOR EACH ROW WHEN (((new.xid <> valet_trail_xid(pg_current_xact_id())) OR ((new.outcome IS NULL) <> (new.outcome_seq IS NULL)) OR (new.outcome_xid IS DISTINCT FROM
        CASE
            WHEN (new.outcome IS NOT NULL) THEN valet_trail_xid(pg_current_xact_id())
            ELSE NULL::xid8
        END))) EXECUTE FUNCTION valet_refuse('a row carries its position, and a complete row that of its outcome');
CREATE TRIGGER checkpoints_keep BEFORE UPDATE OR TRUNCATE ON public.checkpoints FOR EACH STATEMENT EXECUTE FUNCTION valet_refuse('seals do not change');
CREATE TRIGGER checkpoints_keep_all BEFORE DELETE ON public.checkpoints FOR EACH STATEMENT WHEN ((current_setting('valet.task'::text, true) IS DISTINCT FROM 'retention'::text)) EXECUTE FUNCTION valet_refuse('seals are kept');
CREATE TRIGGER checkpoints_keep_open BEFORE DELETE ON public.checkpoints FOR EACH ROW EXECUTE FUNCTION valet_keep_open_rows();

grant delete, insert, select, update on account_settings to valet_app;
grant delete, insert, select, update on accounts to valet_app;
grant delete, insert, select, update on api_keys to valet_app;
grant delete, insert, select on audit_events to valet_app;
grant delete, insert, select on calls to valet_app;
grant usage on calls_outcome_seq to valet_app;
grant delete, insert, select on checkpoints to valet_app;
grant delete, insert, select, update on claims to valet_app;
grant delete, insert, select, update on connect_requests to valet_app;
grant delete, insert, select, update on connector_documents to valet_app;
grant delete, insert, select, update on connectors to valet_app;
grant delete, insert, select, update on credentials to valet_app;
grant delete, insert, select, update on dashboard_sessions to valet_app;
grant delete, insert, select, update on data_keys to valet_app;
grant insert, select on epochs to valet_app;
grant delete, insert, select, update on group_members to valet_app;
grant delete, insert, select, update on groups to valet_app;
grant insert, select on installation to valet_app;
grant delete, insert, select, update on issuers to valet_app;
grant insert, select on keyring to valet_app;
grant delete, insert, select, update on limit_rules to valet_app;
grant delete, insert, select, update on master_key_holders to valet_app;
grant insert, select on master_keys to valet_app;
grant delete, insert, select, update on oauth_clients to valet_app;
grant delete, insert, select, update on quota_counters to valet_app;
grant delete, insert, select, update on rate_windows to valet_app;
grant delete, insert, select, update on replicas to valet_app;
grant delete, insert, select, update on revoked_tokens to valet_app;
grant delete, insert, select, update on secrets to valet_app;
grant delete, insert, select, update on servers to valet_app;
grant delete, insert, select, update on user_identities to valet_app;
grant delete, insert, select, update on users to valet_app;
grant delete, insert, select, update on webhook_deliveries to valet_app;

grant update (outcome, reason, upstream_status, latency_ms, outcome_digest, outcome_seq, outcome_xid) on calls to valet_app;
grant update (key_check) on installation to valet_app;
grant update (kek_version, wrapped) on keyring to valet_app;
grant update (state, key_check, live, changed_at) on master_keys to valet_app;

grant execute on function valet_beat_replica(text,integer) to valet_app;
grant execute on function valet_begin_calls(json) to valet_app;
grant execute on function valet_closed_below() to public;
grant execute on function valet_closed_through() to public;
grant execute on function valet_end_calls(json) to valet_app;
grant execute on function valet_epoch(text) to public;
grant execute on function valet_find_connect(bytea) to valet_app;
grant execute on function valet_find_ended(json) to valet_app;
grant execute on function valet_find_issuers(text) to valet_app;
grant execute on function valet_find_principal(bytea) to valet_app;
grant execute on function valet_find_server_account(text) to valet_app;
grant execute on function valet_find_session(bytea) to valet_app;
grant execute on function valet_give_back_window(text,integer,double precision,double precision) to valet_app;
grant execute on function valet_keep_open_rows() to public;
grant execute on function valet_peek_window(text,integer,integer,double precision) to valet_app;
grant execute on function valet_refuse() to public;
grant execute on function valet_scope_account() to public;
grant execute on function valet_scope_issuer() to public;
grant execute on function valet_scope_key_hash() to public;
grant execute on function valet_scope_server() to public;
grant execute on function valet_scope_task() to public;
grant execute on function valet_scope_user() to public;
grant execute on function valet_scope_users() to public;
grant execute on function valet_sweep_calls(integer,integer) to valet_app;
grant execute on function valet_sweep_windows() to valet_app;
grant execute on function valet_take_quotas(json) to valet_app;
grant execute on function valet_take_window(text,integer,integer,integer,double precision) to valet_app;
grant execute on function valet_trail_xid(xid8) to public;
grant execute on function valet_window_at(rate_windows,integer,bigint) to valet_app;
grant execute on function valet_window_ttl(rate_windows,integer,double precision) to valet_app;
