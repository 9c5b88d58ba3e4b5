#!/usr/bin/env node
// Probe of a container or a unit: exit code 0 when the gateway in this network namespace answers /healthz, else 1. Reads the gateway's own variables.
import { get } from 'node:http';

const { HOST, PORT = '8787', VALET_PUBLIC_URL } = process.env;
const isAny = HOST === undefined || HOST === '0.0.0.0' || HOST === '::';
const host = isAny ? '127.0.0.1' : HOST;
const authority = VALET_PUBLIC_URL ? new URL(VALET_PUBLIC_URL).host : `${isAny ? (HOST ?? host) : host}:${PORT}`;
const request = get({ host, port: PORT, path: '/healthz', headers: { host: authority }, timeout: 2000 }, (response) => {
  response.resume();
  process.exitCode = response.statusCode === 200 ? 0 : 1;
});
request.on('timeout', () => request.destroy(new Error('no answer within 2 s')));
request.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
