// The look of the console: type, colours with enough contrast, and the defaults of the kit's components.
import { createTheme, type MantineColorsTuple } from '@mantine/core';

const brand: MantineColorsTuple = [
  '#eef1fe',
  '#dde2fb',
  '#bac3f6',
  '#94a1f0',
  '#7584ea',
  '#6071e6',
  '#5566e0',
  '#4555cc',
  '#3c4bb7',
  '#2f3d9f',
];

const red: MantineColorsTuple = [
  '#fdeae8',
  '#fad3cf',
  '#f3a69f',
  '#ec766c',
  '#e54f43',
  '#d93a2e',
  '#cc2f24',
  '#b3261e',
  '#9a1f18',
  '#801812',
];

const gray: MantineColorsTuple = [
  '#f7f8fa',
  '#eff1f4',
  '#e3e6eb',
  '#d3d8df',
  '#bcc3cd',
  '#8d97a6',
  '#5f6979',
  '#4b5565',
  '#363f4d',
  '#1b2230',
];

const dark: MantineColorsTuple = [
  '#e3e7ee',
  '#c4cad5',
  '#98a1b0',
  '#6b7484',
  '#313a47',
  '#242b37',
  '#1b212c',
  '#161b24',
  '#10141b',
  '#0b0e13',
];

export const theme = createTheme({
  colors: { brand, red, gray, dark },
  primaryColor: 'brand',
  primaryShade: { light: 7, dark: 6 },
  autoContrast: true,
  respectReducedMotion: true,
  cursorType: 'pointer',
  defaultRadius: 'md',
  black: '#1b2230',
  fontFamily: "'Inter Variable', system-ui, sans-serif",
  fontFamilyMonospace: "'JetBrains Mono Variable', ui-monospace, monospace",
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.125rem' },
  lineHeights: { xs: '1.4', sm: '1.45', md: '1.5', lg: '1.5', xl: '1.5' },
  radius: { xs: '4px', sm: '6px', md: '8px', lg: '12px', xl: '16px' },
  headings: {
    fontWeight: '600',
    sizes: {
      h1: { fontSize: '1.375rem', lineHeight: '1.3' },
      h2: { fontSize: '1rem', lineHeight: '1.4' },
      h3: { fontSize: '0.875rem', lineHeight: '1.4' },
    },
  },
  components: {
    Button: { defaultProps: { size: 'sm' }, styles: { label: { fontWeight: 550 } } },
    Modal: {
      defaultProps: { centered: true, closeButtonProps: { 'aria-label': 'Close' } },
      styles: { title: { fontWeight: 600 } },
    },
    Tooltip: { defaultProps: { withArrow: true, openDelay: 200, events: { hover: true, focus: true, touch: true } } },
    Anchor: { defaultProps: { underline: 'hover' } },
  },
});
