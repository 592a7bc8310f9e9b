// A client of a Capstan node's Muxio wire for browsers and Node:
//
//   const client = await Client.connect("ws://127.0.0.1:10124/ws");
//   const store = new DataStore(client);
//   await store.write(key, value);                        // Uint8Arrays
//   const reply = await client.call("capstan.node.v1.NodeRpc/GetVersion", new Uint8Array());
//   client.close();
//
// Any number of calls may be under way. In Node before version 22 give the "ws" package's class as
// the second argument of connect(). The protocol: src/wire/muxio/PROTOCOL.md of the project.
import {Decoder, Encoder} from "./bitcode.js";
import {methodId} from "./xxh3.js";

export {methodId};

const CHUNK = 65536;
const HEADER = 21;  // size, stream, sequence, kind, time stamp
const MESSAGE = 15;  // type, request, method, size of the metadata
const enum Kind { open, data, end, cancel }

// What browsers' WebSocket and the "ws" package have in common.
export interface Socket {
  binaryType: string;
  readyState: number;
  send(data: Uint8Array): void;
  close(code?: number): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
}
export type SocketClass = new (url: string) => Socket;

export class MuxioError extends Error {}

interface Pending {
  resolve(result: Uint8Array): void;
  reject(error: Error): void;
}

function joined(parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function frame(stream: number, sequence: number, kind: Kind, payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEADER + payload.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, payload.length, true);
  view.setUint32(4, stream, true);
  view.setUint32(8, sequence, true);
  out[12] = kind;
  out.set(payload, HEADER);
  return out;
}

export class Client {
  private lastId = 0;
  private received = new Uint8Array();
  private readonly streams = new Map<number, Uint8Array[]>();
  private readonly pending = new Map<number, Pending>();

  private constructor(private readonly socket: Socket) {
    socket.onmessage = (event) => {
      if (typeof event.data !== "string") this.receive(new Uint8Array(event.data));
    };
    socket.onclose = () => this.fail(new MuxioError("the connection ended"));
    socket.onerror = () => this.fail(new MuxioError("the connection failed"));
  }

  static connect(url: string, socketClass?: SocketClass): Promise<Client> {
    const chosen = socketClass ?? (globalThis as any).WebSocket as SocketClass | undefined;
    if (!chosen) throw new MuxioError("there is no WebSocket here; pass the class of package ws");
    return new Promise((resolve, reject) => {
      const socket = new chosen(url);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => resolve(new Client(socket));
      socket.onerror = () => reject(new MuxioError(`cannot connect to ${url}`));
    });
  }

  close(): void {
    this.socket.close(1000);
  }

  // The result of the method (a name), with arguments and result as its codec has them.
  call(method: string, args: Uint8Array): Promise<Uint8Array> {
    if (this.socket.readyState !== 1) {
      return Promise.reject(new MuxioError("the connection has ended"));
    }
    const request = this.lastId++;
    const stream = this.lastId++;
    const header = new Uint8Array(MESSAGE);
    const view = new DataView(header.buffer);
    view.setUint32(1, request, true);
    view.setBigUint64(5, methodId(method), true);
    view.setUint16(13, args.length < 65536 ? args.length : 0, true);
    const message = joined([header, args]);
    let sequence = 0;
    for (let at = 0; at < message.length; at += CHUNK) {
      const kind = at === 0 ? Kind.open : Kind.data;
      const piece = frame(stream, sequence++, kind, message.subarray(at, at + CHUNK));
      const last = at + CHUNK >= message.length;
      this.socket.send(last ? joined([piece, frame(stream, sequence, Kind.end, new Uint8Array())])
                            : piece);
    }
    return new Promise((resolve, reject) => this.pending.set(request, {resolve, reject}));
  }

  private fail(error: Error): void {
    for (const {reject} of this.pending.values()) reject(error);
    this.pending.clear();
  }

  private receive(bytes: Uint8Array): void {
    this.received = this.received.length === 0 ? bytes : joined([this.received, bytes]);
    while (this.received.length >= HEADER) {
      const view = new DataView(this.received.buffer, this.received.byteOffset, HEADER);
      const size = HEADER + view.getUint32(0, true);
      if (this.received.length < size) return;
      const stream = view.getUint32(4, true);
      const kind = this.received[12];
      const payload = this.received.subarray(HEADER, size);
      if (kind === Kind.open || kind === Kind.data) {
        this.streams.set(stream, [...this.streams.get(stream) ?? [], payload]);
      } else {
        const message = joined(this.streams.get(stream) ?? []);
        this.streams.delete(stream);
        if (kind === Kind.end) this.answer(message);
      }
      this.received = this.received.subarray(size);
    }
  }

  private answer(message: Uint8Array): void {
    if (message.length < MESSAGE || message[0] !== 1) return;
    const view = new DataView(message.buffer, message.byteOffset);
    const waiting = this.pending.get(view.getUint32(1, true));
    if (!waiting) return;
    this.pending.delete(view.getUint32(1, true));
    const metadata = view.getUint16(13, true);
    const status = metadata > 0 ? message[MESSAGE] : 0;
    const result = message.subarray(MESSAGE + metadata);
    if (status === 0) return waiting.resolve(result);
    waiting.reject(new MuxioError(status === 3 ? "the server does not know this method"
                                               : new TextDecoder().decode(result)));
  }
}

// The methods that the node's first store has for the released DataStore clients.
export class DataStore {
  constructor(private readonly client: Client) {}

  private async number(method: string, args: Uint8Array): Promise<bigint> {
    return new Decoder(await this.client.call(method, args)).numbers(1)[0];
  }
  write(key: Uint8Array, value: Uint8Array): Promise<bigint> {
    return this.number("write", new Encoder().values([key]).values([value]).bytes());
  }
  batchWrite(entries: [Uint8Array, Uint8Array][]): Promise<bigint> {
    return this.number("batch_write", new Encoder().lengths([entries.length])
      .values(entries.map(([key]) => key)).values(entries.map(([, value]) => value)).bytes());
  }
  async read(key: Uint8Array): Promise<Uint8Array | null> {
    const answer = new Decoder(await this.client.call("read", new Encoder().values([key]).bytes()));
    return answer.flag() ? answer.values(1)[0] : null;
  }
  async batchRead(keys: Uint8Array[]): Promise<(Uint8Array | null)[]> {
    const args = new Encoder().lengths([keys.length]).values(keys).bytes();
    const answer = new Decoder(await this.client.call("batch_read", args));
    const present = Array.from(answer.packed(2, answer.lengths(1)[0]));
    const values = answer.values(present.filter((p) => p === 1).length);
    return present.map((p) => p === 1 ? values.shift()! : null);
  }
  delete(key: Uint8Array): Promise<bigint> {
    return this.number("delete", new Encoder().values([key]).bytes());
  }
  async exists(key: Uint8Array): Promise<boolean> {
    const args = new Encoder().values([key]).bytes();
    return new Decoder(await this.client.call("exists", args)).flag();
  }
  len(): Promise<bigint> {
    return this.number("len", new Uint8Array());
  }
  async isEmpty(): Promise<boolean> {
    return new Decoder(await this.client.call("is_empty", new Uint8Array())).flag();
  }
  fileSize(): Promise<bigint> {
    return this.number("file_size", new Uint8Array());
  }
}
