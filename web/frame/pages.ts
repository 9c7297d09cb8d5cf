// The pages that the sidebar and the search lead to.
import {
  IconCertificate,
  IconDevices,
  IconHeartbeat,
  IconHistory,
  IconHome,
  IconKey,
  IconUserCheck,
  type Icon,
} from '@tabler/icons-react';

export const pages = [
  { to: '/', label: 'Overview', icon: IconHome, inSidebar: true },
  { to: '/dashboard', label: 'Fleet', icon: IconDevices, inSidebar: true },
  { to: '/approvals', label: 'Approvals', icon: IconUserCheck, inSidebar: true },
  { to: '/certificates', label: 'Certificates', icon: IconCertificate, inSidebar: true },
  { to: '/audit', label: 'Audit trail', icon: IconHistory, inSidebar: true },
  { to: '/health', label: 'Health', icon: IconHeartbeat, inSidebar: true },
  // Reached from the account menu.
  { to: '/sessions', label: 'Sessions', icon: IconKey, inSidebar: false },
] as const satisfies readonly { to: string; label: string; icon: Icon; inSidebar: boolean }[];
