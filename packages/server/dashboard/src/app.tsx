// Signed in or not, and which page. Every page is a file of its own in pages/.

import { useEffect, useState } from 'preact/hooks';
import { LocationProvider, Route, Router } from 'preact-iso';
import { useLoad } from './load.ts';
import { AuditPage } from './pages/audit.tsx';
import { ConnectorPage } from './pages/connector.tsx';
import { ConnectorsPage } from './pages/connectors.tsx';
import { CredentialsPage } from './pages/credentials.tsx';
import { GroupPage } from './pages/group.tsx';
import { GroupsPage } from './pages/groups.tsx';
import { LoginPage } from './pages/login.tsx';
import { OverviewPage } from './pages/overview.tsx';
import { ServerPage } from './pages/server.tsx';
import { ServersPage } from './pages/servers.tsx';
import { SettingsPage } from './pages/settings.tsx';
import { UserPage } from './pages/user.tsx';
import { UsersPage } from './pages/users.tsx';
import { Empty, Page, Waiting } from './parts/page.tsx';
import { SessionContext, Shell } from './parts/shell.tsx';
import { currentSession, type Session, sessionEnded } from './session.ts';

export function App() {
  const asked = useLoad(currentSession, []);
  const [session, setSession] = useState<Session | null | undefined>(undefined);
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const end = () => {
      setSession(null);
      setOver(true);
    };
    addEventListener(sessionEnded, end);
    return () => removeEventListener(sessionEnded, end);
  }, []);
  const now = session === undefined ? asked.data?.session : session;
  if (session === undefined && asked.data === undefined && asked.isLoading) return <Waiting />;
  if (!now) {
    const enter = (entered: Session) => {
      setOver(false);
      setSession(entered);
    };
    return <LoginPage onEnter={enter} isOver={isOver} problem={asked.error} issuer={asked.data?.issuer} />;
  }
  const leave = () => {
    setOver(false);
    setSession(null);
  };
  return (
    <SessionContext.Provider value={now}>
      <LocationProvider scope="/admin">
        <Shell onSignOut={leave}>
          <Router>
            <Route path="/admin" component={OverviewPage} />
            <Route path="/admin/users" component={UsersPage} />
            <Route path="/admin/users/:id" component={UserPage} />
            <Route path="/admin/groups" component={GroupsPage} />
            <Route path="/admin/groups/:id" component={GroupPage} />
            <Route path="/admin/servers" component={ServersPage} />
            <Route path="/admin/servers/:id" component={ServerPage} />
            <Route path="/admin/connectors" component={ConnectorsPage} />
            <Route path="/admin/connectors/:id" component={ConnectorPage} />
            <Route path="/admin/credentials" component={CredentialsPage} />
            <Route path="/admin/audit" component={AuditPage} />
            <Route path="/admin/settings" component={SettingsPage} />
            <Route default component={NoPage} />
          </Router>
        </Shell>
      </LocationProvider>
    </SessionContext.Provider>
  );
}

function NoPage() {
  return (
    <Page title="No such page">
      <Empty title="There is nothing at this address">
        <a class="button" href="/admin">
          Go to the overview
        </a>
      </Empty>
    </Page>
  );
}
