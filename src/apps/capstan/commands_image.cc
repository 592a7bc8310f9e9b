// Why this file exists: the `capstan image` commands over capstan.node.v1.ImageRpc. Both ends hash
// the whole content; a transfer counts only when the hashes agree.
#include "apps/capstan/commands.h"
#include "apps/capstan/image_files.h"
#include "apps/capstan/image_hash.h"
#include "apps/capstan/progress.h"
#include "apps/capstan/session.h"
#include "node/image.pb.h"

namespace capstan::apps {
namespace {

namespace node = ::capstan::node::v1;

using Upload = client::RemoteStream<node::ImportImageRequest, node::ImportImageResponse>;
using Download = client::RemoteStream<node::ExportImageRequest, node::ExportImageResponse>;

Result<void> compare_hashes(std::string_view theirs, const Sha256& ours, std::string_view what) {
  if (theirs == as_text(ours)) return {};
  return fail(Code::kDataLoss, std::string(what) + ": the node computed SHA-256 " +
                                   hex_text(as_bytes(theirs)) + ", this side " + hex_text(ours) +
                                   ". The copy is not the original: do it again");
}

Progress make_progress(Session& session, const std::string& what, std::uint64_t total) {
  const bool shown = session.terminal().is_terminal && !session.out().quiet();
  return Progress(what, total, shown, session.terminal().columns, session.out().units());
}

// False: the node has ended the call, which is told by its answer.
core::Task<Result<bool>> send_data(Upload& upload, ImageSource& source, ImageHash& hash,
                                   Progress& progress) {
  node::ImportImageRequest request;
  while (true) {
    CO_TRY_SET(const auto runs, co_await source.next());
    if (!runs) break;
    for (const ImageSource::Run& run : *runs) {
      co_await hash.zeros_to(run.offset);
      hash.add(run.bytes);
      request.mutable_data()->set_offset(run.offset);
      request.mutable_data()->set_data(run.bytes.data(), run.bytes.size());
      if (!co_await upload.send(request)) co_return false;
    }
    progress.update(source.data_done());
  }
  co_await hash.zeros_to(source.size_bytes());
  co_return true;
}

struct Received {
  std::string replica;
  std::uint64_t size_bytes = 0, data_bytes = 0;
  Sha256 hash{};
};

// Writes the answers of an export; offsets count from `start` of the replica.
core::Task<Result<Received>> receive_data(Session& session, Download& download, ImageTarget& target,
                                          const std::string& what, std::uint64_t start) {
  node::ExportImageResponse answer;
  CO_TRY_SET(bool more, co_await download.next(answer));
  if (!more || !answer.has_header()) {
    co_return fail(Code::kInternal, "the node began the export without a header");
  }
  session.heard();
  Received received{answer.header().replica(), answer.header().size_bytes(), 0, {}};
  Progress progress = make_progress(session, what, answer.header().allocated_bytes());
  ImageHash hash;
  while (true) {
    CO_TRY_SET(more, co_await download.next(answer));
    if (!more) co_return fail(Code::kDataLoss, "the export ended before the image was complete");
    if (answer.has_trailer()) break;
    const node::Extent& extent = answer.data();
    const std::uint64_t position = extent.offset() - start;
    if (!answer.has_data() || extent.offset() < start || position < hash.position() ||
        position > received.size_bytes || extent.data().size() > received.size_bytes - position) {
      co_return fail(Code::kInternal, "the node sent an extent that does not belong to the image");
    }
    co_await hash.zeros_to(position);
    hash.add(as_bytes(extent.data()));
    CO_TRY(co_await target.write(position, as_bytes(extent.data())));
    received.data_bytes += extent.data().size();
    progress.update(received.data_bytes);
  }
  co_await hash.zeros_to(received.size_bytes);
  received.hash = hash.finish();
  CO_TRY(compare_hashes(answer.trailer().sha256(), received.hash, what));
  CO_TRY(co_await download.finish());
  co_return received;
}

}  // namespace

Done image_import(Session& session, Arguments arguments) {
  const std::string path = arguments.text("FILE");
  std::optional<std::uint64_t> size;
  if (arguments.given("size")) {
    const auto parsed = arguments.size("size");
    CO_TRY(Session::usage(parsed));
    size = *parsed;
  }
  const bool keep_rest = arguments.on("keep-rest");
  CO_TRY_SET(auto source, Session::usage(co_await ImageSource::open(session.env(), path, size,
                                                                    keep_rest, session.token())));
  CO_TRY_SET(Upload upload,
             (co_await session.open_upload<node::ImportImageRequest, node::ImportImageResponse>(
                 "capstan.node.v1.ImageRpc/ImportImage")));
  node::ImportImageRequest request;
  request.mutable_header()->set_replica(arguments.text("REPLICA"));
  request.mutable_header()->set_size_bytes(source->size_bytes());
  request.mutable_header()->set_keep_rest(keep_rest);
  ImageHash hash;
  bool whole = (co_await upload.send(request)).has_value();
  if (whole) {
    if (session.connected()) session.heard();  // what breaks from here on is no failure to reach
    Progress progress = make_progress(session, "import " + path, source->data_bytes());
    CO_TRY_SET(whole, co_await send_data(upload, *source, hash, progress));
  }
  CO_TRY_SET(const node::ImportImageResponse answer, co_await upload.answer());
  session.heard();
  if (!whole) {
    co_return fail(Code::kInternal, "the node ended the import before it had the image of '" +
                                        path + "', and says that it succeeded");
  }
  CO_TRY(compare_hashes(answer.sha256(), hash.finish(), "import of '" + path + "'"));
  Printer& out = session.out();
  if (out.json()) co_return out.message(answer);
  out.remark("imported " + out.size(answer.size_bytes()) + " (" + out.size(answer.data_bytes()) +
             " of data) into replica " + answer.replica());
  out.remark("sha256 " + hex_text(as_bytes(answer.sha256())));
  co_return Result<void>();
}

Done image_export(Session& session, Arguments arguments) {
  const std::string path = arguments.text("FILE");
  node::ExportImageRequest request;
  request.set_replica(arguments.text("REPLICA"));
  if (arguments.given("offset")) {
    const auto offset = arguments.size("offset");
    CO_TRY(Session::usage(offset));
    request.set_offset(*offset);
  }
  if (arguments.given("length")) {
    const auto length = arguments.size("length");
    CO_TRY(Session::usage(length));
    request.set_length(*length);
  }
  CO_TRY_SET(auto target, Session::usage(co_await ImageTarget::create(
                              session.env(), path, arguments.on("force"), session.token())));
  Result<Received> received = fail(Code::kUnknown, "");
  auto download = co_await session.open<node::ExportImageResponse>(
      "capstan.node.v1.ImageRpc/ExportImage", request);
  if (download) {
    received =
        co_await receive_data(session, *download, *target, "export " + path, request.offset());
  } else {
    received = std::unexpected(std::move(download).error());
  }
  Result<void> finished;
  if (received) finished = co_await target->finish(received->size_bytes);
  if (!received || !finished) {
    co_await target->abandon();
    if (!received) co_return std::unexpected(std::move(received).error());
    co_return finished;
  }
  if (path == "-") co_return Result<void>();  // standard output is the image
  Printer& out = session.out();
  if (out.json()) {
    out.line("{\n  \"replica\": \"" + received->replica +
             "\",\n  \"size_bytes\": " + std::to_string(received->size_bytes) +
             ",\n  \"data_bytes\": " + std::to_string(received->data_bytes) +
             ",\n  \"sha256\": \"" + hex_text(received->hash) + "\"\n}");
    co_return Result<void>();
  }
  out.remark("exported " + out.size(received->size_bytes) + " (" + out.size(received->data_bytes) +
             " of data) from replica " + received->replica);
  out.remark("sha256 " + hex_text(received->hash));
  co_return Result<void>();
}

}  // namespace capstan::apps
