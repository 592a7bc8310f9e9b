// Why this file exists: the `capstan kv` commands over capstan.datastore.v1.DataStoreRpc: the
// stores of a running node. Values travel in pieces, so they may be of any size, where the wire has
// streams; elsewhere one has to fit into a request. Keys are the bytes of the argument. With --file
// none of this runs (sibling.h).
#include "apps/capstan/commands.h"
#include "apps/capstan/image_files.h"
#include "apps/capstan/image_hash.h"
#include "apps/capstan/progress.h"
#include "apps/capstan/session.h"
#include "apps/capstan/shown.h"
#include "apps/capstan/store_name.h"
#include "base/limits.h"
#include "core/os_stdio.h"
#include "datastore/datastore.pb.h"

namespace capstan::apps {
namespace {

namespace d1 = ::capstan::datastore::v1;

constexpr const char* kService = "capstan.datastore.v1.DataStoreRpc/";
constexpr std::size_t kWholeBytes = 32U << 20;  // of a value on a wire without streams
using Upload = client::RemoteStream<d1::WriteStreamRequest, d1::WriteResponse>;

std::string method(const char* name) {
  return std::string(kService) + name;
}

Progress make_progress(Session& session, const std::string& what, std::uint64_t total) {
  const bool shown = session.terminal().is_terminal && !session.out().quiet();
  return Progress(what, total, shown, session.terminal().columns, session.out().units());
}

Result<void> print_tail(Session& session, const Result<d1::WriteResponse>& answer,
                        const std::string& sentence) {
  if (!answer) return std::unexpected(answer.error());
  if (session.out().json()) return session.out().message(*answer);
  session.out().remark(sentence);
  return {};
}

// Where the bytes of a value come from: the argument, a file or standard input.
class Input {
 public:
  core::Task<Result<void>> open(Session& session, const Arguments& arguments) {
    if (arguments.given("VALUE")) {
      text_ = arguments.text("VALUE");
      size_ = text_->size();
    } else if (arguments.given("input")) {
      const std::string path = arguments.text("input");
      CO_TRY(Session::usage(check_no_pipe(path, "Read it into standard input")));
      CO_TRY_SET(file_, Session::usage(co_await session.env().files().open(path, {})));
      size_ = file_->info().size_bytes;
    }
    co_return Result<void>();
  }
  std::uint64_t size() const { return size_; }  // 0: not known
  // Fills `piece`; empty at the end.
  core::Task<Result<void>> next(Session& session, std::string& piece) {
    piece.resize(limits::kKvStreamPieceBytes);
    const MutableBytes into(reinterpret_cast<std::uint8_t*>(piece.data()), piece.size());
    std::size_t got = 0;
    if (text_) {
      got = text_->copy(piece.data(), piece.size(), done_);
    } else if (file_) {
      CO_TRY_SET(got, co_await file_->read(done_, into));
    } else {
      CO_TRY_SET(got, co_await core::read_standard_input(into, session.token()));
    }
    piece.resize(got);
    done_ += got;
    co_return Result<void>();
  }

 private:
  std::optional<std::string> text_;
  std::unique_ptr<core::File> file_;
  std::uint64_t size_ = 0, done_ = 0;
};

// Without streams: the whole value in one request.
Done write_at_once(Session& session, Input& input, d1::WriteRequest request) {
  std::string piece;
  do {
    CO_TRY(co_await input.next(session, piece));
    if (request.value().size() + piece.size() > kWholeBytes) {
      co_return fail(Code::kResourceExhausted,
                     "a value of more than " + session.out().size(kWholeBytes) +
                         " does not fit into one request of this wire. Use gRPC or Muxio: "
                         "--bind http://… or ws://…");
    }
    request.mutable_value()->append(piece);
  } while (!piece.empty());
  const auto answer = co_await session.call<d1::WriteResponse>(method("Write"), request);
  co_return print_tail(session, answer, "Stored '" + request.key() + "'");
}

}  // namespace

Done kv_write(Session& session, Arguments arguments) {
  if (arguments.given("VALUE") && arguments.given("input")) {
    co_return Session::usage_error("a value and --input are both given. Leave one out");
  }
  Input input;
  CO_TRY(co_await input.open(session, arguments));
  if (!session.streams()) {
    d1::WriteRequest request;
    request.set_key(arguments.text("KEY"));
    CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
    co_return co_await write_at_once(session, input, request);
  }
  CO_TRY_SET(Upload upload,
             (co_await session.open_upload<d1::WriteStreamRequest, d1::WriteResponse>(
                 method("WriteStream"))));
  const std::string key = arguments.text("KEY");
  Progress progress = make_progress(session, "write " + key, input.size());
  d1::WriteStreamRequest request;
  request.set_key(key);
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  std::string piece;
  std::uint64_t sent = 0;
  do {
    CO_TRY(co_await input.next(session, piece));
    if (sent != 0 && piece.empty()) break;
    request.set_data(piece);
    // An early end is told by the answer.
    if (!co_await upload.send(request)) break;
    if (session.connected()) session.heard();  // what breaks from here on is no failure to reach
    sent += piece.size();
    progress.update(sent);
    request.clear_key();
    request.clear_store();
  } while (!piece.empty());
  const auto answer = co_await upload.answer();
  co_return print_tail(session, answer, "Stored '" + key + "'");
}

Done kv_read(Session& session, Arguments arguments) {
  d1::ReadStreamRequest request;
  const std::string key = arguments.text("KEY");
  request.set_key(key);
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  const std::string path = arguments.given("to") ? arguments.text("to") : "-";
  CO_TRY_SET(auto download,
             co_await session.open<d1::ReadStreamResponse>(method("ReadStream"), request));
  d1::ReadStreamResponse answer;
  CO_TRY_SET(bool more, co_await download.next(answer));
  if (!more) co_return fail(Code::kInternal, "the node ended the value before it began");
  session.heard();
  CO_TRY_SET(auto target, Session::usage(co_await ImageTarget::create(
                              session.env(), path, arguments.on("force"), session.token())));
  const std::uint64_t size = answer.size_bytes();
  Progress progress = make_progress(session, "read " + key, size);
  std::uint64_t done = 0;
  Result<void> result;
  while (more && result) {
    result = co_await target->write(done, as_bytes(answer.data()));
    done += answer.data().size();
    progress.update(done);
    if (!result) break;
    auto next = co_await download.next(answer);
    if (!next) result = std::unexpected(std::move(next).error());
    more = next && *next;
  }
  if (result && done != size) {
    result = fail(Code::kDataLoss, "the value ended before it was complete");
  }
  if (result) result = co_await target->finish(size);
  if (!result) co_await target->abandon();
  co_return result;
}

Done kv_exists(Session& session, Arguments arguments) {
  d1::ExistsRequest request;
  request.set_key(arguments.text("KEY"));
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  CO_TRY_SET(const auto answer,
             co_await session.call<d1::ExistsResponse>(method("Exists"), request));
  if (session.out().json()) co_return session.out().message(answer);
  session.out().line(answer.exists() ? "yes" : "no");
  co_return Result<void>();
}

Done kv_metadata(Session& session, Arguments arguments) {
  d1::GetMetadataRequest request;
  request.set_key(arguments.text("KEY"));
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  CO_TRY_SET(const auto answer,
             co_await session.call<d1::Metadata>(method("GetMetadata"), request));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  Table table({"KEY HASH", ">SIZE", ">OFFSET", ">PREVIOUS TAIL", "CHECKSUM", "VALID"});
  table.add({hash_text(answer.key_hash()), out.size(answer.size_bytes()),
             std::to_string(answer.begin_offset()), std::to_string(answer.prev_offset()),
             hash_text(answer.checksum()).substr(8), answer.checksum_right() ? "yes" : "NO"});
  out.table(table, "keys");
  co_return Result<void>();
}

Done kv_delete(Session& session, Arguments arguments) {
  d1::DeleteRequest request;
  request.set_key(arguments.text("KEY"));
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  const auto answer = co_await session.call<d1::WriteResponse>(method("Delete"), request);
  co_return print_tail(session, answer, "Deleted '" + request.key() + "'");
}

Done kv_rename(Session& session, Arguments arguments) {
  d1::RenameRequest request;
  request.set_key(arguments.text("KEY"));
  request.set_new_key(arguments.text("NEW"));
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  const auto answer = co_await session.call<d1::WriteResponse>(method("Rename"), request);
  co_return print_tail(session, answer,
                       "Renamed '" + request.key() + "' to '" + request.new_key() + "'");
}

namespace {
Done copy_or_move(Session& session, const Arguments& arguments, const char* name,
                  const char* verb) {
  d1::CopyRequest request;
  request.set_key(arguments.text("KEY"));
  request.set_target(arguments.text("TARGET"));
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  const auto answer = co_await session.call<d1::WriteResponse>(method(name), request);
  co_return print_tail(
      session, answer,
      std::string(verb) + " '" + request.key() + "' to store '" + request.target() + "'");
}
}  // namespace

Done kv_copy(Session& session, Arguments arguments) {
  co_return co_await copy_or_move(session, arguments, "Copy", "Copied");
}

Done kv_move(Session& session, Arguments arguments) {
  co_return co_await copy_or_move(session, arguments, "Transfer", "Moved");
}

Done kv_compact(Session& session, Arguments arguments) {
  d1::CompactRequest request;
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  CO_TRY_SET(auto stream, co_await session.open<d1::CompactResponse>(method("Compact"), request));
  Progress progress = make_progress(session, "compact", 0);
  d1::CompactResponse answer;
  while (true) {
    CO_TRY_SET(const bool more, co_await stream.next(answer));
    if (!more) co_return fail(Code::kInternal, "the node ended the compaction without a result");
    session.heard();
    progress.set_total(answer.total_bytes());
    progress.update(answer.done_bytes());
    if (answer.finished()) break;
  }
  CO_TRY(co_await stream.finish());
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  out.remark("Compacted " + out.size(answer.bytes_before()) + " to " +
             out.size(answer.bytes_after()) + ", " + std::to_string(answer.values()) + " values");
  co_return Result<void>();
}

Done kv_info(Session& session, Arguments) {
  CO_TRY_SET(const auto answer, co_await session.call<d1::ListStoresResponse>(
                                    method("ListStores"), d1::ListStoresRequest()));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  Table table({"NAME", ">KEYS", ">FILE", ">LIVE", ">SAVINGS", "STATE", "PATH"});
  for (const d1::Stats& store : answer.stores()) {
    table.add({store.name(), std::to_string(store.keys()), out.size(store.file_size_bytes()),
               out.size(store.live_bytes()), out.size(store.compaction_savings()),
               !store.fault().empty() ? "faulted"
               : store.read_only()    ? "read-only"
                                      : "open",
               store.path()});
  }
  out.table(table, "stores");
  co_return Result<void>();
}

Done kv_keys(Session& session, Arguments arguments) {
  d1::ListKeysRequest request;
  CO_TRY_SET(*request.mutable_store(), co_await store_name(session, arguments));
  CO_TRY_SET(auto stream, co_await session.open<d1::ListKeysResponse>(method("ListKeys"), request));
  d1::ListKeysResponse answer;
  Printer& out = session.out();
  while (true) {
    CO_TRY_SET(const bool more, co_await stream.next(answer));
    if (!more) co_return Result<void>();
    session.heard();
    if (out.json()) {
      CO_TRY(out.message(answer, true));
    } else {
      for (const auto& key : answer.keys()) {
        out.line(hash_text(key.key_hash()) + "  " + std::to_string(key.size_bytes()));
      }
    }
    CO_TRY(out.flush());
  }
}

}  // namespace capstan::apps
