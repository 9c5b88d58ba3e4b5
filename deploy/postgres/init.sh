#!/bin/sh
# First start of the database: a login that owns its database and is no superuser, and the role that requests run in.
set -eu
psql --username "${POSTGRES_USER:-postgres}" --set ON_ERROR_STOP=1 --set password="$VALET_DB_PASSWORD" <<'SQL'
create role valet_app nologin;
create role valet login password :'password';
grant valet_app to valet;
create database valet owner valet;
SQL
