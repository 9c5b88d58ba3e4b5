// One user as its page and the parts of that page read it.
import { gateway } from '../gateway.ts';

export const readUser = (name: string) => gateway.users.get(name);
export type UserView = Awaited<ReturnType<typeof readUser>>;
