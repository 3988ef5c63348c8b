/** The home page of the Books app. Every value from outside is escaped here, in one place. */

/** `name` is who the identity headers say is calling, or null. */
export function homePage(name: string | null): string {
  const who =
    name === null
      ? '<p class="who">You are <strong>not signed in</strong>. <a class="button" href="/_postern/sign-in">Sign in</a></p>'
      : `<p class="who">Hello, <strong>${escapeHtml(name)}</strong>.
      <a href="/_postern/account">Your account</a> · <a href="/_postern/sign-out">Sign out</a></p>`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Books</title>
<style>
  :root { color-scheme: light dark; --ink: #22201c; --soft: #6a645a; --paper: #faf7f1; --card: #fff; --line: #e4ddd0; --link: #8a3b12; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #ece7dd; --soft: #aaa294; --paper: #191714; --card: #221f1b; --line: #3a352e; --link: #f0a878; }
  }
  * { box-sizing: border-box; }
  body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.6 Georgia, 'Times New Roman', serif; }
  main { max-width: 40rem; margin: 0 auto; padding: 3rem 1.25rem; }
  h1 { font-size: 2.4rem; line-height: 1.1; margin: 0 0 .25rem; letter-spacing: -.01em; }
  .lead { color: var(--soft); margin: 0 0 2rem; }
  .who { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.25rem; }
  ul { list-style: none; padding: 0; margin: 2rem 0 0; }
  li { border-top: 1px solid var(--line); padding: .65rem 0; display: flex; gap: 1rem; justify-content: space-between; flex-wrap: wrap; }
  li span { color: var(--soft); }
  a { color: var(--link); }
  a:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; }
  .button { display: inline-block; margin-left: .5rem; padding: .1rem .8rem; border: 1px solid currentColor; border-radius: 6px; text-decoration: none; }
</style>
</head>
<body>
<main>
  <h1>Books</h1>
  <p class="lead">A small library that knows nothing about signing in.</p>
  ${who}
  <ul>
    <li><a href="/api/books">The shelf</a> <span>everyone may read</span></li>
    <li><a href="/api/whoami">Who am I?</a> <span>what this app was sent</span></li>
    <li><a href="/api/chat?message=good+morning">Chat</a> <span>a stream of events</span></li>
    <li><a href="/api/admin/stats">Statistics</a> <span>admins only</span></li>
    <li><a href="/api/health">Health</a> <span>public</span></li>
  </ul>
</main>
</body>
</html>
`
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}
