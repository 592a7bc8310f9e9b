// The page at /openapi/ui without a browser: its script runs as it is, over a document that has just
// what the script touches and throws at anything else. Usage: node try_page.js http://HOST:PORT
// Shows the page, searches, opens GET /version and PUT /pools/{pool_id}, fills them in, sends them,
// follows a monitor and stops it; prints what the visitor sees as JSON.
'use strict';
const vm = require('vm');

const MEMBERS = new Set(['tag', 'children', 'parent', 'textContent', 'placeholder', 'value', 'hidden',
  'className', 'open', 'dataset', 'onclick', 'ontoggle', 'oninput', 'append', 'setAttribute',
  'attributes', 'all']);

function element(tag) {
  let text = '';
  const node = {
    tag, children: [], attributes: {}, dataset: {}, value: '', hidden: false, open: false,
    append(...more) { this.children.push(...more); },
    setAttribute(name, value) { this.attributes[name] = value; },
    get textContent() { return text + this.children.map((child) => child.textContent).join(''); },
    set textContent(value) { text = String(value); this.children.length = 0; },
    all(wanted) {
      return this.children.flatMap((child) => [...(child.tag === wanted ? [child] : []),
        ...child.all(wanted)]);
    },
  };
  return new Proxy(node, {
    get(target, name) {
      if (typeof name === 'string' && !MEMBERS.has(name)) throw new Error(`the page reads .${name}`);
      return target[name];
    },
    set(target, name, value) {
      if (!MEMBERS.has(name)) throw new Error(`the page sets .${name}`);
      target[name] = value;
      return true;
    },
  });
}

async function until(condition, what) {
  for (const end = Date.now() + 60000; Date.now() < end;) {
    const value = condition();
    if (value) return value;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error('waited for ' + what);
}

async function main(base) {
  const page = await (await fetch(base + '/openapi/ui')).text();
  const [, script] = page.match(/<script>([\s\S]*)<\/script>/);
  const byId = { title: element('h1'), search: element('input'), list: element('div') };
  for (const id of Object.keys(byId)) {
    if (!page.includes(`id="${id}"`)) throw new Error('the page has no ' + id);
  }
  vm.runInNewContext(script, {
    document: { createElement: element, getElementById: (id) => byId[id] },
    location: { pathname: '/openapi/ui' },
    fetch: (path, options) => fetch(base + path, options),
    URLSearchParams, TextDecoder, AbortController, console,
  });
  const { list, search, title } = byId;
  const entries = () => list.all('details');
  await until(() => entries().length > 30, 'the operations');
  const shown = entries().length;
  search.oninput({ target: { value: 'GET /VERSION' } });
  const found = entries().length;
  search.oninput({ target: { value: 'nothing has this' } });
  const nothing = list.textContent;
  search.oninput({ target: { value: '' } });

  const open = (method, path) => {
    const one = entries().find((details) => details.all('b')[0].textContent === method &&
      details.all('code')[0].textContent === path);
    one.open = true;
    one.ontoggle();
    return one;
  };
  const send = async (one) => {
    const [button] = one.all('button');
    const sent = button.onclick();
    return [sent, one.all('pre')[0]];
  };
  const version = open('GET', '/version');
  const [done, output] = await send(version);
  await done;

  const pool = open('PUT', '/pools/{pool_id}');
  const [name] = pool.all('input');
  name.value = 'a b';
  const body = pool.all('textarea')[0];
  const template = body.value;
  body.value = '{"disks":[]}';
  const [refused, complaint] = await send(pool);
  await refused;

  const monitor = open('GET', '/monitor/pools');
  const [running, stream] = await send(monitor);
  const stop = monitor.all('button')[1];
  await until(() => stream.textContent.includes('synced'), 'the first element');
  const stoppable = !stop.hidden;
  stop.onclick();
  await running;
  console.log(JSON.stringify({ title: title.textContent, shown, found, nothing,
    version: output.textContent, described: pool.all('p').map((p) => p.textContent), template,
    complaint: complaint.textContent, stream: stream.textContent, stoppable,
    stopped: stop.hidden }));
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
