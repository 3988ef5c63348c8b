/** The one style sheet of the hosted pages: no font, image or script from anywhere, and its hash is what the CSP allows. */

/** Text reaches 4.5:1 and controls 3:1 on their grounds in both schemes (WCAG 2.2 §1.4.3 and §1.4.11); the browser test measures it. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f4f3ef; --sheet: #ffffff; --ink: #1d1c1a; --quiet: #5d5a53; --line: #e2dfd8; --edge: #8b877d;
  --accent: #17594a; --accent-over: #0f4337; --on-accent: #ffffff; --tint: #e6f0ec;
  --danger: #9c2318; --danger-tint: #fcefec; --shadow: 0 1px 2px rgb(40 36 28 / 6%), 0 12px 32px -12px rgb(40 36 28 / 16%);
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #131513; --sheet: #1b1e1b; --ink: #ecebe5; --quiet: #aaa79d; --line: #2f332f; --edge: #7b7f77;
    --accent: #8bd3ba; --accent-over: #a7e0cc; --on-accent: #0b211a; --tint: #1f302a;
    --danger: #ffb3a6; --danger-tint: #371d18; --shadow: none;
  }
}
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
html { font-size: 100%; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; min-height: 100vh; min-height: 100dvh; display: flex; flex-direction: column; align-items: center;
  padding: clamp(1.25rem, 8vh, 6rem) 1.25rem 2rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  overflow-wrap: anywhere;
}
.column { width: 100%; max-width: 25.5rem; }
.column.wide { max-width: 42rem; }
.brand { display: flex; align-items: center; gap: .625rem; margin: 0 0 1.5rem; color: var(--quiet); font-size: .9375rem; }
.brand svg { width: 1.625rem; height: 1.625rem; flex: none; color: var(--accent); }
main {
  background: var(--sheet); border: 1px solid var(--line); border-radius: 1rem; box-shadow: var(--shadow);
  padding: clamp(1.375rem, 6vw, 2.25rem);
}
h1 { margin: 0; font-size: 1.625rem; line-height: 1.2; letter-spacing: -.018em; font-weight: 650; text-wrap: balance; }
h2 { margin: 0 0 .25rem; font-size: 1.0625rem; line-height: 1.35; letter-spacing: -.006em; font-weight: 650; }
p { margin: .75rem 0 0; text-wrap: pretty; }
.quiet { color: var(--quiet); }
.small { font-size: .875rem; }
form { margin: 0; }
form.stack { margin-top: 1.375rem; }
.field + .field { margin-top: 1.125rem; }
label { display: block; font-size: .9375rem; font-weight: 560; }
.hint { margin: .125rem 0 0; font-size: .875rem; color: var(--quiet); }
.wrong { margin: .25rem 0 0; font-size: .875rem; font-weight: 560; color: var(--danger); }
input {
  display: block; width: 100%; min-height: 2.875rem; margin-top: .4375rem; padding: .5rem .8125rem; font: inherit; color: inherit;
  background: var(--sheet); border: 1px solid var(--edge); border-radius: .5625rem;
}
input[aria-invalid="true"] { border-color: var(--danger); border-width: 2px; padding: calc(.5rem - 1px) calc(.8125rem - 1px); }
a { color: var(--accent); text-underline-offset: .18em; text-decoration-thickness: .06em; }
a:hover { color: var(--accent-over); text-decoration-thickness: .12em; }
button, .button {
  display: inline-flex; align-items: center; justify-content: center; min-height: 2.875rem; padding: .5rem 1.125rem; font: inherit;
  font-weight: 600; text-decoration: none; cursor: pointer; border: 1px solid transparent; border-radius: .5625rem;
  background: var(--accent); color: var(--on-accent);
}
button:hover, .button:hover { background: var(--accent-over); color: var(--on-accent); }
.stack > button, .stack > .button { width: 100%; margin-top: 1.625rem; }
button.plain, .button.plain { background: transparent; color: var(--ink); border-color: var(--edge); }
button.plain:hover, .button.plain:hover { background: var(--tint); color: var(--ink); }
button.slight { flex: none; white-space: nowrap; min-height: 2.5rem; padding: .25rem .875rem; font-size: .9375rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.note { margin: 1.25rem 0 0; padding: .75rem .9375rem; border-radius: .5625rem; background: var(--tint); font-size: .9375rem; }
.note p:first-child { margin-top: 0; }
.note.alert { background: var(--danger-tint); color: var(--danger); font-weight: 560; }
.under { margin-top: 1.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); font-size: .9375rem; color: var(--quiet); }
.heading { display: flex; align-items: center; justify-content: space-between; gap: .75rem 1rem; }
section { margin-top: 1.75rem; padding-top: 1.625rem; border-top: 1px solid var(--line); }
dl { display: grid; grid-template-columns: minmax(6.5rem, auto) 1fr; gap: .625rem 1.25rem; align-items: baseline; margin: 1.5rem 0 0; }
dt { color: var(--quiet); font-size: .9375rem; }
dd { margin: 0; }
.badge {
  display: inline-block; padding: .0625rem .5rem; border-radius: 1rem; background: var(--tint); color: var(--accent);
  font-size: .8125rem; font-weight: 600; line-height: 1.5; white-space: nowrap;
}
.badge.warn { background: var(--danger-tint); color: var(--danger); }
ul.plain { list-style: none; margin: .875rem 0 0; padding: 0; }
ul.plain > li {
  display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: .75rem 1rem; padding: .875rem 0;
  border-top: 1px solid var(--line);
}
ul.plain > li > div { flex: 1 1 10rem; }
ul.plain > li:first-child { border-top: 0; padding-top: .375rem; }
ul.plain p { margin: 0; }
.actions { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.125rem; }
summary { cursor: pointer; font-weight: 560; color: var(--accent); padding: .25rem 0; }
.code { font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; color: var(--quiet); }
@media (max-width: 30rem) {
  dl { grid-template-columns: 1fr; gap: .125rem; }
  dd + dt { margin-top: .75rem; }
  body { padding-top: 1.5rem; }
}
@media (prefers-reduced-motion: no-preference) {
  button, .button, a { transition: background-color .12s ease, color .12s ease; }
}
@media (forced-colors: active) {
  button, .button, .badge, .note { border: 1px solid; }
}
`
