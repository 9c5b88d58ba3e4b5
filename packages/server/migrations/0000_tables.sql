CREATE TABLE "accounts" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "accounts_name_unique" UNIQUE("name")
);
--> statement-breakpoint
CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"kind" text NOT NULL,
	"name" text NOT NULL,
	"hash" "bytea" NOT NULL,
	"pepper_version" integer NOT NULL,
	"prefix" text NOT NULL,
	"user_id" text,
	"server_id" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	"last_used_at" timestamp (3) with time zone,
	CONSTRAINT "api_keys_account" CHECK (account_id <> ''),
	CONSTRAINT "api_keys_owner" CHECK ((kind <> 'std' or user_id is not null) and ((kind = 'url') = (server_id is not null)))
);
--> statement-breakpoint
CREATE TABLE "audit_events" (
	"seq" bigint GENERATED ALWAYS AS IDENTITY (sequence name "audit_events_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"xid" "xid8" DEFAULT pg_current_xact_id() NOT NULL,
	"format" smallint DEFAULT 1 NOT NULL,
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"actor_key_id" text,
	"actor_kind" text,
	"actor_user_id" text,
	"action" text NOT NULL,
	"user_id" text,
	"attempted_user" text,
	"target" text,
	"outcome" text NOT NULL,
	"reason" text,
	"request_id" text,
	"address" text,
	"details" jsonb DEFAULT '{}'::jsonb NOT NULL,
	CONSTRAINT "audit_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "calls" (
	"seq" bigint GENERATED ALWAYS AS IDENTITY (sequence name "calls_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"xid" "xid8" DEFAULT pg_current_xact_id() NOT NULL,
	"format" smallint DEFAULT 1 NOT NULL,
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"lease_until" timestamp (3) with time zone NOT NULL,
	"user_id" text,
	"actor_key_id" text,
	"attempted_user" text,
	"server_id" text,
	"connector_id" text,
	"tool" text NOT NULL,
	"credential_id" text,
	"args_digest" "bytea",
	"lane" text NOT NULL,
	"request_id" text NOT NULL,
	"idempotency_key" text,
	"address" text,
	"outcome" text,
	"reason" text,
	"upstream_status" integer,
	"latency_ms" integer,
	"outcome_digest" "bytea",
	"outcome_seq" bigint,
	"outcome_xid" "xid8",
	CONSTRAINT "calls_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "claims" (
	"account_id" text NOT NULL,
	"user_id" text NOT NULL,
	"scope" text NOT NULL,
	"key" text NOT NULL,
	"fingerprint" "bytea" NOT NULL,
	"call_id" text,
	"state" text NOT NULL,
	"lease_until" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"status" integer,
	"answer" "bytea",
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "claims_account_id_user_id_scope_key_pk" PRIMARY KEY("account_id","user_id","scope","key"),
	CONSTRAINT "claims_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "connectors" (
	"account_id" text NOT NULL,
	"id" text NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"category" text[] DEFAULT '{}' NOT NULL,
	"kind" text NOT NULL,
	"config" jsonb NOT NULL,
	"inject" jsonb,
	"secret_names" text[] DEFAULT '{}' NOT NULL,
	"timeout_ms" integer,
	"enabled" boolean DEFAULT true NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "connectors_account_id_id_pk" PRIMARY KEY("account_id","id"),
	CONSTRAINT "connectors_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "credentials" (
	"account_id" text NOT NULL,
	"id" text NOT NULL,
	"user_id" text NOT NULL,
	"connector_id" text NOT NULL,
	"type" text NOT NULL,
	"label" text,
	"status" text NOT NULL,
	"is_default" boolean DEFAULT false NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "credentials_account_id_id_pk" PRIMARY KEY("account_id","id"),
	CONSTRAINT "credentials_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "data_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"user_id" text NOT NULL,
	"kek_version" integer NOT NULL,
	"wrapped" "bytea" NOT NULL,
	"is_current" boolean DEFAULT true NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "data_keys_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "installation" (
	"id" text PRIMARY KEY NOT NULL,
	"key_check" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "keyring" (
	"purpose" text NOT NULL,
	"version" integer NOT NULL,
	"kek_version" integer NOT NULL,
	"wrapped" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "keyring_purpose_version_pk" PRIMARY KEY("purpose","version")
);
--> statement-breakpoint
CREATE TABLE "secrets" (
	"account_id" text NOT NULL,
	"user_id" text NOT NULL,
	"credential_id" text NOT NULL,
	"name" text NOT NULL,
	"version" integer NOT NULL,
	"sealed" "bytea" NOT NULL,
	"fingerprint" text NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "secrets_account_id_credential_id_name_pk" PRIMARY KEY("account_id","credential_id","name"),
	CONSTRAINT "secrets_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "servers" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"custom_instructions" text,
	"mode" text NOT NULL,
	"connectors" text[],
	"prefix" text NOT NULL,
	"sessions" text NOT NULL,
	"on_unknown_user" text NOT NULL,
	"rate_limit" jsonb,
	"is_public" boolean DEFAULT false NOT NULL,
	"restrictions" jsonb,
	"owner_user_id" text,
	"acts_for_users" boolean NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "servers_name" UNIQUE("account_id","name"),
	CONSTRAINT "servers_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"username" text NOT NULL,
	"email" text,
	"description" text,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"mcp_allowed" text[] DEFAULT '{}' NOT NULL,
	"mcp_blocked" text[] DEFAULT '{}' NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "users_username" UNIQUE("account_id","username"),
	CONSTRAINT "users_account" CHECK (account_id <> '')
);
--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_server_id_servers_id_fk" FOREIGN KEY ("server_id") REFERENCES "public"."servers"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "connectors" ADD CONSTRAINT "connectors_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credentials" ADD CONSTRAINT "credentials_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credentials" ADD CONSTRAINT "credentials_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credentials" ADD CONSTRAINT "credentials_account_id_connector_id_connectors_account_id_id_fk" FOREIGN KEY ("account_id","connector_id") REFERENCES "public"."connectors"("account_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "data_keys" ADD CONSTRAINT "data_keys_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "data_keys" ADD CONSTRAINT "data_keys_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "secrets" ADD CONSTRAINT "secrets_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "secrets" ADD CONSTRAINT "secrets_account_id_credential_id_credentials_account_id_id_fk" FOREIGN KEY ("account_id","credential_id") REFERENCES "public"."credentials"("account_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "servers" ADD CONSTRAINT "servers_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "servers" ADD CONSTRAINT "servers_owner_user_id_users_id_fk" FOREIGN KEY ("owner_user_id") REFERENCES "public"."users"("id") ON DELETE set null ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "users" ADD CONSTRAINT "users_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_hash" ON "api_keys" USING btree ("hash");--> statement-breakpoint
CREATE INDEX "api_keys_user" ON "api_keys" USING btree ("account_id","user_id");--> statement-breakpoint
CREATE INDEX "api_keys_server" ON "api_keys" USING btree ("server_id");--> statement-breakpoint
CREATE INDEX "audit_account_seq" ON "audit_events" USING btree ("account_id","seq");--> statement-breakpoint
CREATE INDEX "calls_account_seq" ON "calls" USING btree ("account_id","seq");--> statement-breakpoint
CREATE INDEX "calls_account_user" ON "calls" USING btree ("account_id","user_id","seq");--> statement-breakpoint
CREATE INDEX "calls_open" ON "calls" USING btree ("lease_until") WHERE outcome is null;--> statement-breakpoint
CREATE INDEX "claims_expiry" ON "claims" USING btree ("expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "credentials_default" ON "credentials" USING btree ("account_id","user_id","connector_id") WHERE is_default;--> statement-breakpoint
CREATE INDEX "credentials_user" ON "credentials" USING btree ("account_id","user_id","connector_id");--> statement-breakpoint
CREATE UNIQUE INDEX "data_keys_current" ON "data_keys" USING btree ("account_id","user_id") WHERE is_current;