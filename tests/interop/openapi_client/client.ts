// What a program does with the client that is generated from the node's OpenAPI documents: every
// path, parameter, body and answer is typed by them, so it compiles only if they say what is true,
// and it ends with "ok" only if the node does what they say.
//   node dist/client.js http://HOST:PORT DISK
import createClient from 'openapi-fetch';
import type {paths} from './api.d.ts';
import type {paths as v0Paths} from './v0.d.ts';

const [base = '', disk = ''] = process.argv.slice(2);
const api = createClient<paths, 'application/json'>({baseUrl: base});
const v0 = createClient<v0Paths, 'application/json'>({baseUrl: base});

function check(what: string, good: boolean): void {
  if (!good) throw new Error(`wrong: ${what}`);
}
function there<T>(what: string, answer: {data?: T, error?: unknown, response: Response}): T {
  if (answer.data === undefined) {
    throw new Error(`${what}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
  }
  return answer.data;
}

const version = there('version', await api.GET('/version'));
check('a version', (version.version ?? '').length > 0);

const pool = there('create pool', await api.PUT('/pools/{pool_id}',
  {params: {path: {pool_id: 'typed'}}, body: {disks: [disk]}}));
const capacity: string = pool.capacity ?? '';  // 64 bits are text
check('its name and size', pool.name === 'typed' && BigInt(capacity) > 0n);
check('its state', pool.state === 'POOL_ONLINE');

const uuid = '0b1b2c3d-1111-4222-8333-444455556666';
const replica = there('create replica', await api.PUT('/pools/{pool_id}/replicas/{replica_id}',
  {params: {path: {pool_id: 'typed', replica_id: uuid}},
    body: {name: 'r', size: String(8 << 20), thin: true}}));
check('the replica', replica.uuid === uuid && replica.thin === true);
const listed = there('list', await api.GET('/replicas', {params: {query: {pool: 'typed'}}}));
check('the list', listed.length === 1 && listed[0]?.name === 'r');

const missing = await api.GET('/pools/{pool_id}', {params: {path: {pool_id: 'nowhere'}}});
check('an error is typed', missing.response.status === 404 && Array.isArray(missing.error) &&
  missing.error[0]?.id === 'pool.not_found');

const pools = there('v0', await v0.GET('/v0/pools'));
const used: number = pools[0]?.state?.used ?? -1;  // here they are numbers
check('the same pool under /v0', pools.length === 1 && pools[0]?.id === 'typed' && used >= 0);
const again = await v0.PUT('/v0/nodes/{node_id}/pools/{pool_id}',
  {params: {path: {node_id: pools[0]?.spec?.node ?? '', pool_id: 'typed'}}, body: {disks: [disk]}});
check('its error', again.response.status === 422 && again.error?.kind === 'AlreadyExists');

const gone = await api.DELETE('/pools/{pool_id}', {params: {path: {pool_id: 'typed'}}});
check('an answer without a body', gone.response.status === 204);

// What the documents do not know does not compile.
// @ts-expect-error there is no such path
void (() => api.GET('/pool'));
// @ts-expect-error 64 bits are no number
void ((given: typeof pool): number | undefined => given.capacity);
// @ts-expect-error the argument of the path is missing
void (() => api.GET('/pools/{pool_id}'));
console.log('ok');
