// Sign-in, and back to where one came from.
import { ApiProblem } from '#client/api-problem.ts';
import { Anchor, Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import { IconAlertTriangle, IconInfoCircle } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { createLazyRoute, Link, useRouter } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { useServices } from '../data/services.tsx';
import { Brand } from '../frame/brand.tsx';
import { parseLoginSearch } from '../search.ts';
import { ProblemAlert } from '../parts/problem.tsx';
import classes from './login.module.css';

export const loginRoute = createLazyRoute('/login')({ component: Login });

function Login() {
  useDocumentTitle('Sign in · Sentinel');
  const { next, ended } = loginRoute.useSearch({ select: parseLoginSearch });
  const { client, queries } = useServices();
  const cache = useQueryClient();
  const router = useRouter();
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');

  const login = useMutation({
    mutationFn: async () => {
      await client.admin.login({ username: username.trim(), password });
      cache.clear();
      // The cookie that came with the answer is what counts from here on; its token is not kept.
      const me = await cache.fetchQuery({ ...queries.me(), staleTime: 0 });
      if (me === null) throw new ApiProblem(cookieRefused);
    },
    onSuccess: () => router.navigate({ href: next ?? '/dashboard', replace: true }),
  });

  return (
    <main className={classes['page']}>
      <div className={classes['card']}>
        <Link to="/" className={classes['home']} aria-label="Sentinel, start page">
          <Brand />
        </Link>
        <h1>Sign in</h1>
        {ended === true && login.isIdle && (
          <Message icon={<IconInfoCircle size={18} aria-hidden />} tone="info">
            Your session has ended. Sign in to go on where you were.
          </Message>
        )}
        {ended !== true && next !== undefined && login.isIdle && (
          <Message icon={<IconInfoCircle size={18} aria-hidden />} tone="info">
            That page is for people who have signed in.
          </Message>
        )}
        {login.error !== null && <LoginProblem error={login.error} />}
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (!login.isPending) login.mutate();
          }}
        >
          <Stack gap="md">
            <TextInput
              label="User name"
              autoComplete="username"
              autoCapitalize="none"
              spellCheck={false}
              autoFocus
              required
              withAsterisk={false}
              maxLength={64}
              value={username}
              onChange={(event) => setUsername(event.currentTarget.value)}
            />
            <PasswordInput
              label="Password"
              autoComplete="current-password"
              required
              withAsterisk={false}
              maxLength={1024}
              value={password}
              visibilityToggleButtonProps={{ 'aria-label': 'Show the password', tabIndex: 0, 'aria-hidden': false }}
              onChange={(event) => setPassword(event.currentTarget.value)}
            />
            <Button type="submit" fullWidth loading={login.isPending}>
              Sign in
            </Button>
          </Stack>
        </form>
        <p className={classes['hint']}>
          First time here? <code>npm start</code> printed the user name and the file with its password.{' '}
          <Anchor component={Link} to="/" size="xs" underline="always">
            What is this?
          </Anchor>
        </p>
      </div>
    </main>
  );
}

const cookieRefused = {
  code: 'auth.required',
  status: 401,
  title: 'The browser did not keep the session',
  detail: 'You were signed in, but the cookie of the session did not come back.',
  advice: 'Open the console over HTTPS and allow cookies for this address.',
} as const;

function LoginProblem({ error }: { readonly error: unknown }) {
  if (error instanceof ApiProblem && error.code === 'auth.invalid_credentials') {
    return (
      <Message icon={<IconAlertTriangle size={18} aria-hidden />} tone="bad">
        User name or password is wrong. Both count capital letters.
      </Message>
    );
  }
  return <ProblemAlert error={error} title="You were not signed in" />;
}

interface MessageProps {
  readonly icon: ReactNode;
  readonly tone: 'info' | 'bad';
  readonly children: ReactNode;
}

function Message({ icon, tone, children }: MessageProps) {
  return (
    <p className={classes['message']} data-tone={tone} role={tone === 'bad' ? 'alert' : 'status'}>
      {icon}
      <span>{children}</span>
    </p>
  );
}
