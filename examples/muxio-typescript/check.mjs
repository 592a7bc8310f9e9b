// Tries the built client against a server:  node check.mjs ws://HOST:PORT/ws
import WebSocket from "ws";
import {Client, DataStore, methodId} from "./dist/muxio.js";

const bytes = (text) => new TextEncoder().encode(text);
const same = (a, b) => a !== null && b !== null && Buffer.compare(a, b) === 0;
function check(what, good) {
  if (!good) throw new Error(`wrong: ${what}`);
}

check("method ids", methodId("write") === 0x3ec2ad5c308c53dan &&
      methodId("batch_write") === 0xb0207c59d9b60457n && methodId("len") === 0xa41dbb760e96e3e3n);
const client = await Client.connect(process.argv[2], WebSocket);
const store = new DataStore(client);
check("empty", await store.isEmpty() && await store.len() === 0n);
check("tail", await store.write(bytes("hello"), bytes("world")) === 25n);
check("read", same(await store.read(bytes("hello")), bytes("world")));
check("missing", await store.read(bytes("nope")) === null);
check("exists", await store.exists(bytes("hello")) && !await store.exists(bytes("nope")));
await store.batchWrite([[bytes("k1"), bytes("v1")], [bytes("k2"), bytes("v22")]]);
const batch = await store.batchRead([bytes("k1"), bytes("nope"), bytes("k2")]);
check("batch", same(batch[0], bytes("v1")) && batch[1] === null && same(batch[2], bytes("v22")));
for (const size of [1, 254, 255, 256, 65_500, 65_536, 200_000]) {
  for (const modulus of [1, 2, 16, 251]) {
    const value = Uint8Array.from({length: size}, (_, i) => i % modulus + (i === 0 ? 1 : 0));
    await store.write(bytes("sized"), value);
    check(`${size} bytes`, same(await store.read(bytes("sized")), value));
  }
}
const all = await Promise.all(Array.from({length: 100}, async (_, i) => {
  await store.write(bytes(`p${i}`), bytes(`v${i}`));
  return same(await store.read(bytes(`p${i}`)), bytes(`v${i}`));
}));
check("many at once", all.every((good) => good));
const refusal = await store.write(bytes("bad"), new Uint8Array()).catch((error) => error.message);
check(`refusal (${refusal})`, refusal === "Payload cannot be empty.");
const unknown = await client.call("no.Such/Method", new Uint8Array()).catch((e) => e.message);
check(`unknown method (${unknown})`, unknown === "the server does not know this method");
await store.delete(bytes("hello"));
check("deleted", !await store.exists(bytes("hello")));
client.close();
console.log("ok");
