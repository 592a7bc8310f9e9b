// What node_clients_test.py has @grpc/grpc-js do to a node: HOST:PORT DISK FOREIGN-DISK DESCRIPTORS [CA].
// Prints "ok <case>" for each; whatever goes wrong ends it.
'use strict';
const assert = require('assert');
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, disk, foreign, descriptors, ca] = process.argv.slice(2);
const api = grpc.loadPackageDefinition(loader.loadFileDescriptorSetFromBuffer(
  fs.readFileSync(descriptors), { keepCase: true, enums: String, defaults: true }));
const credentials = ca ? grpc.credentials.createSsl(fs.readFileSync(ca))
  : grpc.credentials.createInsecure();
const pools = new api.mayastor.v1.PoolRpc(address, credentials);
const nodes = new api.capstan.node.v1.NodeRpc(address, credentials);
const { status } = grpc;

function call(client, method, request, metadata = new grpc.Metadata(), options = {}) {
  return new Promise((resolve, reject) => {
    client[method](request, metadata, options,
      (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function failing(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('there should be an error');
}

async function list() {
  assert.deepStrictEqual((await call(pools, 'ListPools', {})).pools, []);
}

async function errors() {
  const error = await failing(call(pools, 'CreatePool', { name: 'p' }));
  assert.strictEqual(error.code, status.INVALID_ARGUMENT);
  assert.match(error.details, /missing devices/);
  const raw = error.metadata.get('grpc-status-details-bin')[0];
  assert.ok(raw.includes('google.rpc.BadRequest') && raw.includes('disks'), raw.toString());
}

async function metadata() {
  const wanted = { name: 'p', disks: [foreign] };
  assert.notStrictEqual((await failing(call(pools, 'CreatePool', wanted))).code,
    status.UNAVAILABLE);
  const insisting = new grpc.Metadata();
  insisting.set('capstan-force', 'true');
  insisting.set('some-bin', Buffer.from([0, 255]));
  assert.strictEqual((await call(pools, 'CreatePool', wanted, insisting)).name, 'p');
  await call(pools, 'DestroyPool', { name: 'p' });
}

function events() {
  return new Promise((resolve, reject) => {
    const stream = nodes.MonitorEvents({ categories: ['pool'] });
    let made = false;
    stream.on('metadata', () => {         // the stream is open
      made = true;
      call(pools, 'CreatePool', { name: 'p', disks: [disk] }).catch(reject);
    });
    stream.on('data', (event) => {
      assert.ok(made);
      assert.deepStrictEqual([event.category, event.action], ['pool', 'create']);
      stream.cancel();
    });
    stream.on('error', (error) => {
      if (error.code !== status.CANCELLED) {
        reject(error);
        return;
      }
      call(pools, 'DestroyPool', { name: 'p' }).then(resolve, reject);
    });
  });
}

function deadline() {
  return new Promise((resolve, reject) => {
    const began = Date.now();
    const stream = nodes.MonitorEvents({ categories: ['store'] }, { deadline: began + 300 });
    stream.on('data', () => reject(new Error('nothing was asked for')));
    stream.on('error', (error) => {
      assert.strictEqual(error.code, status.DEADLINE_EXCEEDED);
      assert.ok(Date.now() - began >= 250);
      resolve();
    });
  });
}

async function many() {
  const calls = [];
  for (let i = 0; i < 200; ++i) calls.push(call(pools, 'ListPools', {}));
  assert.strictEqual((await Promise.all(calls)).length, 200);
}

(async () => {
  for (const [name, run] of Object.entries({ list, error: errors, metadata, events, deadline,
    many })) {
    await run();
    console.log(`ok ${name}`);
  }
  pools.close();
  nodes.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
