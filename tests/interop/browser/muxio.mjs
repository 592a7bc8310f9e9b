// The TypeScript client of examples/ in a page:  node muxio.mjs CHROMIUM http://HOST:PORT DIST
// The client's files get the node's origin, as if a page of the node's used them. The page is an
// answer of the node: Chromium lets only what came from a local address connect to one.
import {join} from 'node:path';
import {check, inBrowser} from './browser.mjs';

const [program, base, dist] = process.argv.slice(2);

await inBrowser(program, base, async (page, seen) => {
  await page.route(base + '/client/**', (route) => route.fulfill(
    {path: join(dist, new URL(route.request().url()).pathname.slice('/client/'.length))}));
  await page.goto(base + '/version');
  const found = await page.evaluate(async (url) => {
    const {Client, DataStore} = await import('/client/muxio.js');
    const bytes = (text) => new TextEncoder().encode(text);
    const text = (value) => value && new TextDecoder().decode(value);
    const client = await Client.connect(url);
    const store = new DataStore(client);
    const out = {empty: await store.isEmpty()};
    await store.write(bytes('hello'), bytes('world'));
    out.read = text(await store.read(bytes('hello')));
    out.missing = await store.read(bytes('nope'));
    const large = Uint8Array.from({length: 200_000}, (_, i) => i % 251 + (i === 0 ? 1 : 0));
    await store.write(bytes('large'), large);
    const back = await store.read(bytes('large'));
    out.large = back.length === large.length && back.every((byte, i) => byte === large[i]);
    const many = await Promise.all(Array.from({length: 50}, async (_, i) => {
      await store.write(bytes(`p${i}`), bytes(`v${i}`));
      return text(await store.read(bytes(`p${i}`))) === `v${i}`;
    }));
    out.many = many.every((good) => good);
    out.refusal = await store.write(bytes('bad'), new Uint8Array()).catch((e) => e.message);
    out.version = text(await client.call('capstan.node.v1.NodeRpc/GetVersion', new Uint8Array()));
    client.close();
    return out;
  }, base.replace('http:', 'ws:') + '/ws');
  check(JSON.stringify(found), found.empty && found.read === 'world' && found.missing === null &&
    found.large && found.many && found.refusal === 'Payload cannot be empty.' &&
    found.version.length > 3);
  check(`console: ${JSON.stringify(seen.console)}`, seen.console.length === 0);
});
