// What Vite makes importable beside code: style sheets and their class names.
/// <reference types="vite/client" />
