// Chromium with nothing of its own: a new profile, no way to any host but the one under test. What a
// page logs, throws or asks for is kept, so that a test can say that there was nothing else.
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {chromium} from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-dev-shm-usage', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'];

export function check(what, good) {
  if (!good) throw new Error(`wrong: ${what}`);
}

// Runs `body(page, seen)`; prints "ok" when it returns.
export async function inBrowser(program, base, body) {
  const profile = mkdtempSync(join(tmpdir(), 'capstan-browser-'));
  const context = await chromium.launchPersistentContext(profile,
    {executablePath: program, headless: true, args: FLAGS});
  try {
    const page = context.pages()[0] ?? await context.newPage();
    page.setDefaultTimeout(60_000);
    const seen = {console: [], thrown: [], requests: []};
    page.on('console', (message) => seen.console.push(
      {type: message.type(), text: message.text(), url: message.location().url}));
    page.on('pageerror', (error) => seen.thrown.push(String(error)));
    context.on('request', (request) => seen.requests.push(request.url()));
    await body(page, seen);
    check(`thrown in the page: ${seen.thrown}`, seen.thrown.length === 0);
    const elsewhere = seen.requests.filter((url) => !url.startsWith(base + '/'));
    check(`asked elsewhere: ${elsewhere}`, elsewhere.length === 0);
    check('something was asked at all', seen.requests.length > 0);
  } finally {
    await context.close();
    rmSync(profile, {recursive: true, force: true});
  }
  console.log('ok');
}
