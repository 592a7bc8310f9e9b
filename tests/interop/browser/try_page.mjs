// The page at /openapi/ui as a visitor uses it:  node try_page.mjs CHROMIUM http://127.0.0.1:PORT
import {check, inBrowser} from './browser.mjs';

const [program, base] = process.argv.slice(2);

// The operation's part of the page, opened by a click on its line.
async function open(page, method, path) {
  const one = page.locator('details', {has: page.locator(`summary:has(b:text-is("${method}"))`)
    .filter({has: page.locator(`code:text-is("${path}")`)})});
  check(`one ${method} ${path}`, await one.count() === 1);
  await one.locator('summary').click();
  return one;
}
const button = (one, name) => one.getByRole('button', {name, exact: true});

await inBrowser(program, base, async (page, seen) => {
  const answer = await page.goto(base + '/openapi/ui');
  check('the page is HTML', answer.status() === 200 &&
    answer.headers()['content-type'].startsWith('text/html'));
  await page.locator('details').nth(30).waitFor();
  const shown = await page.locator('details').count();
  check('the title names the node', (await page.locator('#title').textContent()).length > 5);

  await page.fill('#search', 'GET /VERSION');
  check('the search finds one', await page.locator('details').count() === 1);
  await page.fill('#search', 'nothing has this');
  check('the search says so', (await page.locator('#list').textContent()) === 'Nothing matches.');
  await page.fill('#search', '');
  check('the search ends', await page.locator('details').count() === shown);

  const version = await open(page, 'GET', '/version');
  await button(version, 'Send').click();
  await version.locator('pre', {hasText: '"version": "'}).waitFor();
  const said = await version.locator('pre').textContent();
  check(`the answer is shown: ${said}`, said.startsWith('200 OK\n{\n  "'));
  check('nothing was complained about', seen.console.length === 0);

  // What comes from outside is text, whatever it holds.
  const pool = await open(page, 'PUT', '/pools/{pool_id}');
  await pool.locator('input').first().fill('p1');
  await pool.getByRole('textbox', {name: 'Body'}).fill(
    JSON.stringify({disks: ['/<img src=x onerror=alert(1)>']}));
  await button(pool, 'Send').click();
  await pool.locator('pre', {hasText: 'pool.'}).waitFor();
  const refusal = await pool.locator('pre').textContent();
  check(`an error is shown: ${refusal}`, /^[45]\d\d [A-Z].*"id": "pool\./s.test(refusal) &&
    refusal.includes('<img src=x'));
  check('and is no markup', await page.locator('img').count() === 0);
  await pool.locator('input').first().fill('a b');
  await button(pool, 'Send').click();
  await pool.locator('pre', {hasText: 'pool_id'}).waitFor();

  const monitor = await open(page, 'GET', '/monitor/pools');
  await button(monitor, 'Send').click();
  await monitor.locator('pre', {hasText: 'synced'}).waitFor();
  await button(monitor, 'Stop').click();
  await button(monitor, 'Stop').waitFor({state: 'hidden'});

  // Chromium itself tells of the two answers that were errors, and of nothing else.
  const told = seen.console.map((one) => one.url);
  check(`console: ${JSON.stringify(seen.console)}`, told.length === 2 &&
    told.every((url) => url.startsWith(base + '/pools/')));
});
