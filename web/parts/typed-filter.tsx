// A filter that is typed: it follows what is written after a moment, and the address at once.
import { CloseButton, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useEffect, useState, type ReactNode } from 'react';
import classes from './typed-filter.module.css';

interface TypedFilterProps {
  readonly label: string;
  readonly placeholder: string;
  readonly icon: ReactNode;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly narrow?: boolean;
}

export function TypedFilter({ label, placeholder, icon, value, onChange, narrow = false }: TypedFilterProps) {
  const [typed, setTyped] = useState(value);
  const settle = useDebouncedCallback(onChange, 300);
  useEffect(() => setTyped(value), [value]);
  return (
    <TextInput
      size="xs"
      className={(narrow ? classes['narrow'] : classes['typed']) ?? ''}
      aria-label={label}
      placeholder={placeholder}
      maxLength={64}
      leftSection={icon}
      rightSection={
        typed !== '' && (
          <CloseButton
            size="xs"
            aria-label={`Clear ${label.toLowerCase()}`}
            onClick={() => {
              setTyped('');
              onChange('');
            }}
          />
        )
      }
      value={typed}
      onChange={(event) => {
        setTyped(event.currentTarget.value);
        settle(event.currentTarget.value.trim());
      }}
    />
  );
}
