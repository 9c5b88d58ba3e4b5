// What stands around every page: navigation, theme, who is signed in, the way out.
import { type ComponentChildren, createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import icon from '../icon.svg';
import { type Session, signOut } from '../session.ts';
import { chooseTheme, currentTheme } from '../theme.ts';
import { Icon, type IconName } from './icon.tsx';

export const SessionContext = createContext<Session | undefined>(undefined);
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === undefined) throw new Error('a page outside of the session');
  return session;
}

const places: { href: string; text: string; icon: IconName }[] = [
  { href: '/admin', text: 'Overview', icon: 'overview' },
  { href: '/admin/users', text: 'Users', icon: 'users' },
  { href: '/admin/groups', text: 'Groups', icon: 'groups' },
  { href: '/admin/servers', text: 'Servers', icon: 'servers' },
  { href: '/admin/connectors', text: 'Connectors', icon: 'connectors' },
  { href: '/admin/credentials', text: 'Credentials', icon: 'credentials' },
  { href: '/admin/audit', text: 'Audit', icon: 'audit' },
  { href: '/admin/settings', text: 'Settings', icon: 'settings' },
];

const isHere = (path: string, href: string): boolean =>
  href === '/admin' ? path === '/admin' || path === '/admin/' : path === href || path.startsWith(`${href}/`);

export function Shell({ children, onSignOut }: { children: ComponentChildren; onSignOut: () => void }) {
  const { path } = useLocation();
  const [isOpen, setOpen] = useState(false);
  useEffect(() => setOpen(false), [path]);
  const leave = async () => {
    try {
      await signOut();
    } finally {
      onSignOut();
    }
  };
  return (
    <div class="shell">
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <div class="topbar">
        <Brand />
        <button
          type="button"
          class="button plain"
          aria-expanded={isOpen}
          aria-controls="navigation"
          onClick={() => setOpen(!isOpen)}
        >
          <Icon name="menu" /> Menu
        </button>
      </div>
      <div class="side" id="navigation" data-open={isOpen}>
        <Brand />
        <nav aria-label="Pages">
          <ul class="nav">
            {places.map((place) => (
              <li key={place.href}>
                <a href={place.href} aria-current={isHere(path, place.href) ? 'page' : undefined}>
                  <Icon name={place.icon} />
                  {place.text}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="side-foot">
          <Account />
          <ThemeButton />
          <button type="button" class="button" onClick={() => void leave()}>
            Sign out
          </button>
        </div>
      </div>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

const Brand = () => (
  <a class="brand" href="/admin">
    <img src={icon} alt="" />
    MCP Valet
  </a>
);

function Account() {
  const { kind, isNarrowed } = useSession();
  return (
    <p class="small muted">
      Signed in with {kind === 'adm' ? 'an admin' : 'an enterprise'} key
      {isNarrowed && ' that is kept to some rights'}
    </p>
  );
}

export function ThemeButton() {
  const [theme, setTheme] = useState(currentTheme());
  useEffect(() => {
    const follow = () => setTheme(currentTheme());
    addEventListener('themechange', follow);
    return () => removeEventListener('themechange', follow);
  }, []);
  const other = theme === 'dark' ? 'light' : 'dark';
  return (
    <button type="button" class="button plain" onClick={() => chooseTheme(other)}>
      <Icon name="sun" /> {other === 'dark' ? 'Dark theme' : 'Light theme'}
    </button>
  );
}
