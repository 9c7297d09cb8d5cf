// The corner where messages appear, outside of the pages so that they outlive them.
import { Notifications } from '@mantine/notifications';
import '@mantine/notifications/styles.layer.css';

export const Toasts = () => <Notifications position="bottom-right" limit={3} />;
