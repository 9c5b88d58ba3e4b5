CREATE TABLE "account_settings" (
	"account_id" text PRIMARY KEY NOT NULL,
	"redirect_uris" text[] DEFAULT '{}' NOT NULL,
	"webhook_url" text,
	"webhook_secret" "bytea",
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "account_settings_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "connect_requests" (
	"hash" "bytea" PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"user_id" text NOT NULL,
	"connector_id" text NOT NULL,
	"credential_id" text NOT NULL,
	"scopes" text[],
	"redirect_uri" text,
	"sealed_id" "bytea" NOT NULL,
	"ticket_hash" "bytea",
	"ticket_expires_at" timestamp (3) with time zone,
	"browser_hash" "bytea",
	"state_hash" "bytea",
	"sealed_flow" "bytea",
	"misses" integer DEFAULT 0 NOT NULL,
	"status" text DEFAULT 'open' NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "connect_requests_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "connector_documents" (
	"account_id" text NOT NULL,
	"connector_id" text NOT NULL,
	"document" "bytea" NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "connector_documents_account_id_connector_id_pk" PRIMARY KEY("account_id","connector_id"),
	CONSTRAINT "connector_documents_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "oauth_clients" (
	"account_id" text NOT NULL,
	"connector_id" text NOT NULL,
	"issuer" text NOT NULL,
	"client_id" text NOT NULL,
	"sealed" "bytea",
	"expires_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "oauth_clients_account_id_connector_id_issuer_pk" PRIMARY KEY("account_id","connector_id","issuer"),
	CONSTRAINT "oauth_clients_account" CHECK (account_id <> '')
);
--> statement-breakpoint
CREATE TABLE "webhook_deliveries" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"event" text NOT NULL,
	"payload" jsonb NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_at" timestamp (3) with time zone,
	"delivered_at" timestamp (3) with time zone,
	"last_status" integer,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "webhook_deliveries_account" CHECK (account_id <> '')
);
--> statement-breakpoint
ALTER TABLE "connectors" ADD COLUMN "oauth" jsonb;--> statement-breakpoint
ALTER TABLE "connectors" ADD COLUMN "allow_shared" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "credentials" ADD COLUMN "shared" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "credentials" ADD COLUMN "scopes" text[];--> statement-breakpoint
ALTER TABLE "credentials" ADD COLUMN "subject" text;--> statement-breakpoint
ALTER TABLE "credentials" ADD COLUMN "token_expires_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "credentials" ADD COLUMN "refresh_lease_until" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "credentials" ADD COLUMN "last_error" text;--> statement-breakpoint
ALTER TABLE "account_settings" ADD CONSTRAINT "account_settings_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "connect_requests" ADD CONSTRAINT "connect_requests_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "connect_requests" ADD CONSTRAINT "connect_requests_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "connect_requests" ADD CONSTRAINT "connect_requests_credential" FOREIGN KEY ("account_id","credential_id") REFERENCES "public"."credentials"("account_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "connector_documents" ADD CONSTRAINT "connector_documents_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "connector_documents" ADD CONSTRAINT "connector_documents_connector" FOREIGN KEY ("account_id","connector_id") REFERENCES "public"."connectors"("account_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "oauth_clients" ADD CONSTRAINT "oauth_clients_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "oauth_clients" ADD CONSTRAINT "oauth_clients_connector" FOREIGN KEY ("account_id","connector_id") REFERENCES "public"."connectors"("account_id","id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_deliveries" ADD CONSTRAINT "webhook_deliveries_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "connect_requests_state" ON "connect_requests" USING btree ("state_hash");--> statement-breakpoint
CREATE INDEX "connect_requests_user" ON "connect_requests" USING btree ("account_id","user_id","connector_id");--> statement-breakpoint
CREATE INDEX "connect_requests_expiry" ON "connect_requests" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "webhook_deliveries_next" ON "webhook_deliveries" USING btree ("next_at") WHERE next_at is not null;--> statement-breakpoint
CREATE INDEX "credentials_shared" ON "credentials" USING btree ("account_id","connector_id") WHERE shared;