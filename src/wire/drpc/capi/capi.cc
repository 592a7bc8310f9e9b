// Why this file exists: see capstan_drpc.h. Bytes are drpc_codec's, waiting is core/os_packets'; no
// C++ exception leaves, because C has nobody to take it.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "core/os_packets.h"
#include "wire/drpc/capi/capstan_drpc.h"
#include "wire/drpc/drpc_codec.h"

namespace drpc = capstan::wire::drpc;
using capstan::ByteView;
using capstan::Code;
using capstan::Error;
using capstan::fail;
using capstan::MutableBytes;
using capstan::Result;

struct capstan_drpc_connection {
  std::optional<capstan::core::BlockingPackets> socket;
  std::int64_t sequence = 0;
  unsigned references = 1;
  std::string error;
  std::vector<std::uint8_t> message;  // being received
};

namespace {

using Connection = capstan_drpc_connection;

// What is handed out: the C struct first, then what it points to.
struct Reply : capstan_drpc_reply {
  std::vector<std::uint8_t> message;
};

int code_of(const Error& error) {
  switch (error.sys_errno) {
    case 0: break;
    case EPERM:
    case EACCES: return CAPSTAN_DRPC_NO_PERMISSION;
    case EBADF: return CAPSTAN_DRPC_NO_HANDLE;
    case EINVAL: return CAPSTAN_DRPC_INVALID;
    case ENOENT: return CAPSTAN_DRPC_NOT_FOUND;
    case ENOMEM: return CAPSTAN_DRPC_NO_MEMORY;
    case ETIMEDOUT: return CAPSTAN_DRPC_TIMED_OUT;
    case EBUSY: return CAPSTAN_DRPC_BUSY;
    case EPROTO: return CAPSTAN_DRPC_PROTOCOL;
    case EOVERFLOW: return CAPSTAN_DRPC_TOO_LARGE;
    case EILSEQ: return CAPSTAN_DRPC_MISMATCH;
    case EPIPE:
    case ECONNRESET: return CAPSTAN_DRPC_TRUNCATED;
    case EIO: return CAPSTAN_DRPC_IO;
    default: return CAPSTAN_DRPC_MISC;
  }
  return CAPSTAN_DRPC_PROTOCOL;  // the codec's: it has no errno
}

Result<void> send_call(Connection& connection, std::int32_t module, std::int32_t method,
                       ByteView body) {
  const auto prefix = drpc::MessagePrefix::call(module, method, connection.sequence, body.size());
  const ByteView head = prefix.view();
  const std::size_t total = head.size() + body.size();
  const std::uint32_t count = drpc::chunk_count(total);
  std::size_t at = 0;
  for (std::uint32_t index = 0; index < count; ++index) {
    const auto chunk = drpc::chunk_header(total, index);
    const auto header = drpc::encode_header(chunk);
    const std::size_t end = at + chunk.chunk_bytes;
    // The prefix is part of the first chunk: no chunk is that short.
    const ByteView first = at == 0 ? head.first(std::min(head.size(), end)) : ByteView();
    const std::size_t from = std::max(at, head.size()) - head.size();
    const ByteView rest = body.subspan(from, end - head.size() - from);
    const ByteView parts[] = {header, first, rest};
    TRY(connection.socket->send(parts));
    at = end;
  }
  return {};
}

// One whole message into connection.message.
Result<void> receive_message(Connection& connection) {
  drpc::ChunkSequence sequence(capstan::limits::kDrpcMessageBytes);
  auto& message = connection.message;
  message.clear();
  while (true) {
    drpc::HeaderBytes header{};
    const std::size_t had = message.size();
    message.resize(had + drpc::kChunkBytesMax);
    const MutableBytes room(message.data() + had, drpc::kChunkBytesMax);
    TRY_SET(const auto got, connection.socket->receive(header, room));
    if (got.bytes == 0) return fail(Code::kUnavailable, "the peer closed", ECONNRESET);
    if (got.truncated) return fail(Code::kDataLoss, "a packet above 131072 bytes", EPROTO);
    const ByteView head = ByteView(header).first(std::min(got.bytes, header.size()));
    TRY_SET(const bool complete, sequence.add(head, got.bytes));
    message.resize(had + got.bytes - header.size());
    if (complete) return {};
  }
}

// Reads until the reply to the running call; earlier ones came too late and are dropped.
Result<std::unique_ptr<Reply>> receive_reply(Connection& connection) {
  while (true) {
    TRY(receive_message(connection));
    const auto response = drpc::parse_response(connection.message);
    if (!response) return fail(Code::kDataLoss, "the reply is no Response message", EPROTO);
    const bool refused = response->sequence == drpc::kNoSequence &&
                         response->status == drpc::Status::kFailedUnmarshalCall;
    if (response->sequence < connection.sequence && !refused) continue;
    if (response->sequence != connection.sequence && !refused) {
      return fail(Code::kDataLoss,
                  "the reply has sequence " + std::to_string(response->sequence) + ", the call " +
                      std::to_string(connection.sequence),
                  EILSEQ);
    }
    auto reply = std::make_unique<Reply>();
    reply->sequence = response->sequence;
    reply->status = static_cast<std::int32_t>(response->status);
    // The body is a view into the message, which moves without moving its bytes.
    static constexpr std::uint8_t kNothing = 0;
    reply->body_bytes = response->body.size();
    reply->body = response->body.empty() ? &kNothing : response->body.data();
    reply->message = std::exchange(connection.message, {});
    return reply;
  }
}

Result<std::unique_ptr<Reply>> exchange(Connection& connection, std::int32_t module,
                                        std::int32_t method, ByteView body, int timeout_ms) {
  ++connection.sequence;
  connection.socket->set_limit(timeout_ms);
  TRY(send_call(connection, module, method, body));
  return receive_reply(connection);
}

int call(Connection& connection, std::int32_t module, std::int32_t method, ByteView body,
         int timeout_ms, capstan_drpc_reply** reply) {
  constexpr std::size_t kFrameBytes = 64;  // more than any prefix
  if (body.size() > capstan::limits::kDrpcMessageBytes - kFrameBytes) {
    connection.error = "a body of " + std::to_string(body.size()) + " bytes is above the limit";
    return CAPSTAN_DRPC_TOO_LARGE;  // nothing was sent: the connection stays
  }
  auto done = exchange(connection, module, method, body, timeout_ms);
  if (done) {
    connection.error.clear();
    *reply = done->release();
    return CAPSTAN_DRPC_OK;
  }
  connection.socket.reset();
  connection.error = done.error().text();
  return code_of(done.error());
}

}  // namespace

extern "C" int capstan_drpc_connect(const char* path, Connection** connection) {
  if (!connection) return CAPSTAN_DRPC_INVALID;
  *connection = nullptr;
  if (!path) return CAPSTAN_DRPC_INVALID;
  try {
    auto socket = capstan::core::BlockingPackets::connect(path);
    if (!socket) return code_of(socket.error());
    auto made = std::make_unique<Connection>();
    made->socket.emplace(*std::move(socket));
    *connection = made.release();
    return CAPSTAN_DRPC_OK;
  } catch (...) {
    return CAPSTAN_DRPC_NO_MEMORY;
  }
}

extern "C" int capstan_drpc_call(Connection* connection, std::int32_t module, std::int32_t method,
                                 const void* body, std::size_t body_bytes, int timeout_ms,
                                 capstan_drpc_reply** reply) {
  if (reply) *reply = nullptr;
  if (!connection || !reply || (!body && body_bytes != 0)) return CAPSTAN_DRPC_INVALID;
  if (!connection->socket) return CAPSTAN_DRPC_NO_HANDLE;
  try {
    const ByteView bytes(static_cast<const std::uint8_t*>(body), body_bytes);
    return call(*connection, module, method, bytes, timeout_ms, reply);
  } catch (...) {  // only memory can be missing; half a message may be on its way
    connection->socket.reset();
    return CAPSTAN_DRPC_NO_MEMORY;
  }
}

extern "C" void capstan_drpc_reply_free(capstan_drpc_reply* reply) {
  delete static_cast<Reply*>(reply);
}

extern "C" int capstan_drpc_add_ref(Connection* connection) {
  if (!connection || connection->references == UINT_MAX) return CAPSTAN_DRPC_INVALID;
  ++connection->references;
  return CAPSTAN_DRPC_OK;
}

extern "C" int capstan_drpc_close(Connection* connection) {
  if (!connection) return CAPSTAN_DRPC_INVALID;
  if (--connection->references == 0) delete connection;
  return CAPSTAN_DRPC_OK;
}

extern "C" int capstan_drpc_is_connected(const Connection* connection) {
  return connection && connection->socket ? 1 : 0;
}

extern "C" const char* capstan_drpc_last_error(const Connection* connection) {
  return connection ? connection->error.c_str() : "";
}

extern "C" const char* capstan_drpc_code_name(int code) {
  switch (code) {
    case CAPSTAN_DRPC_OK: return "OK";
    case CAPSTAN_DRPC_NO_PERMISSION: return "NO_PERMISSION";
    case CAPSTAN_DRPC_NO_HANDLE: return "NO_HANDLE";
    case CAPSTAN_DRPC_INVALID: return "INVALID";
    case CAPSTAN_DRPC_NOT_FOUND: return "NOT_FOUND";
    case CAPSTAN_DRPC_NO_MEMORY: return "NO_MEMORY";
    case CAPSTAN_DRPC_TIMED_OUT: return "TIMED_OUT";
    case CAPSTAN_DRPC_BUSY: return "BUSY";
    case CAPSTAN_DRPC_PROTOCOL: return "PROTOCOL";
    case CAPSTAN_DRPC_TRUNCATED: return "TRUNCATED";
    case CAPSTAN_DRPC_TOO_LARGE: return "TOO_LARGE";
    case CAPSTAN_DRPC_MISMATCH: return "MISMATCH";
    case CAPSTAN_DRPC_IO: return "IO";
    case CAPSTAN_DRPC_MISC: return "MISC";
    default: return "UNKNOWN";
  }
}
