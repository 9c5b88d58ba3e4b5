// How the session reaches the browser, whoever proved what before it.
import type { FastifyReply } from 'fastify';
import { sessionCookie } from '../identity/session.ts';
import { sessionHours } from './session-store.ts';

const header = (text: string, seconds: number): string =>
  `${sessionCookie}=${text}; Path=/; Max-Age=${seconds}; HttpOnly; Secure; SameSite=Strict`;

export const setSessionCookie = (reply: FastifyReply, text: string): FastifyReply =>
  reply.header('set-cookie', header(text, sessionHours * 3600));

export const dropSessionCookie = (reply: FastifyReply): FastifyReply => reply.header('set-cookie', header('', 0));
