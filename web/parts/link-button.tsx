// A button that leads to a page of the console: an address that can be opened in another tab, with typed parameters.
import { Button, type ButtonProps } from '@mantine/core';
import { createLink } from '@tanstack/react-router';
import type { AnchorHTMLAttributes, Ref } from 'react';

type Anchor = Omit<AnchorHTMLAttributes<HTMLAnchorElement>, keyof ButtonProps>;

function ButtonAnchor(props: ButtonProps & Anchor & { readonly ref?: Ref<HTMLAnchorElement> }) {
  return <Button component="a" {...props} />;
}

export const LinkButton = createLink(ButtonAnchor);
