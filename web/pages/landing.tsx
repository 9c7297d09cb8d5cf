// The site root: what this is for visitors, and where things stand for people who have signed in.
import { createLazyRoute } from '@tanstack/react-router';
import { useVisitor } from '../data/services.tsx';
import { Overview } from './overview.tsx';
import { Welcome } from './welcome.tsx';

function Landing() {
  return useVisitor() === null ? <Welcome /> : <Overview />;
}

export const landingRoute = createLazyRoute('/')({ component: Landing });
