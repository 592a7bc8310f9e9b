// Why this file exists: see image.h. The checks of requests stand here, the work on bytes in
// image_writer.cc and image_reader.cc.
#include "services/image.h"

#include "base/limits.h"
#include "services/image_reader.h"
#include "services/image_writer.h"

namespace capstan::services {

using node::v1::ExportImageRequest;
using node::v1::ExportImageResponse;
using node::v1::ImportImageRequest;
using node::v1::ImportImageResponse;

namespace {

constexpr std::size_t kSha256Bytes = 32;

// Holds the claim on a replica; gives it back however the import ends.
class Claim {
 public:
  explicit Claim(std::shared_ptr<storage::Device> device) : device_(std::move(device)) {}
  ~Claim() { device_->release(); }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

 private:
  std::shared_ptr<storage::Device> device_;
};

std::string hex(std::string_view bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

Result<void> check_header(const ImportImageRequest::Header& header,
                          const storage::Replica& replica) {
  if (replica.read_only()) {
    return fail(Code::kFailedPrecondition, "replica '" + replica.name() +
                                               "' is a snapshot and cannot be written; import into "
                                               "a replica or a clone");
  }
  if (header.size_bytes() > replica.size_bytes()) {
    return fail(Code::kOutOfRange, "the image has " + std::to_string(header.size_bytes()) +
                                       " bytes, replica '" + replica.name() + "' only " +
                                       std::to_string(replica.size_bytes()) +
                                       "; create a larger replica");
  }
  if (!header.sha256().empty() && header.sha256().size() != kSha256Bytes) {
    return fail_field("header.sha256", "sha256 has " + std::to_string(header.sha256().size()) +
                                           " bytes; send 32, or none to skip the check");
  }
  return {};
}

Result<void> check_extent(const ImportImageRequest& request) {
  if (!request.has_data()) {
    return fail(Code::kInvalidArgument,
                request.has_header() ? "a second header; send extents after the first message"
                                     : "an empty message; send extents after the header");
  }
  if (request.data().data().size() > limits::kImageChunkBytes) {
    return fail_field("data.data", "an extent of " + std::to_string(request.data().data().size()) +
                                       " bytes; send at most " +
                                       std::to_string(limits::kImageChunkBytes));
  }
  return {};
}

core::Task<Result<void>> receive(rpc::Source<ImportImageRequest> source, ImageWriter& writer) {
  ImportImageRequest request;
  while (true) {
    CO_TRY_SET(const bool more, co_await source.next(request));
    if (!more) co_return co_await writer.finish();
    CO_TRY(check_extent(request));
    CO_TRY(co_await writer.extent(request.data().offset(), as_bytes(request.data().data())));
  }
}

// The range of an export, checked.
Result<std::uint64_t> end_of(const ExportImageRequest& request, std::uint64_t size) {
  const std::uint64_t offset = request.offset(), length = request.length();
  if (offset > size || length > size - offset) {
    return fail(Code::kOutOfRange, "offset " + std::to_string(offset) + " and length " +
                                       std::to_string(length) + " leave the replica of " +
                                       std::to_string(size) + " bytes");
  }
  return length == 0 ? size : offset + length;
}

}  // namespace

Result<std::shared_ptr<storage::Replica>> ImageService::find(const std::string& text) {
  FoundReplica found;
  if (const auto uuid = Uuid::parse(text)) found = engine_.find_replica(*uuid);
  if (!found) found = engine_.find_replica_named(text);
  if (!found) {
    return fail(Code::kNotFound, "replica '" + text + "' not found; name it or give its UUID");
  }
  return std::move(found.replica);
}

core::Task<Result<ImportImageResponse>> ImageService::import_image(
    rpc::Call&, rpc::Source<ImportImageRequest> source) {
  ImportImageRequest first;
  CO_TRY_SET(const bool any, co_await source.next(first));
  if (!any || !first.has_header()) {
    co_return fail_field("header", "the first message of an import must be its header");
  }
  const auto header = first.header();
  CO_TRY_SET(const auto replica, find(header.replica()));
  CO_TRY(check_header(header, *replica));
  CO_TRY(replica->claim("image import"));
  const Claim claim(replica);
  ImageWriter writer(replica, header.size_bytes(), header.keep_rest(), replica->thin());
  auto received = co_await receive(source, writer);
  if (!received) {
    co_return std::unexpected(std::move(received).error().within(
        "import into replica '" + replica->name() + "' stopped at byte " +
        std::to_string(writer.position()) + " of " + std::to_string(header.size_bytes())));
  }
  ImportImageResponse response;
  response.set_replica(replica->uuid().text());
  response.set_size_bytes(header.size_bytes());
  response.set_data_bytes(writer.data_bytes());
  response.set_sha256(writer.sha256());
  if (!header.sha256().empty() && header.sha256() != response.sha256()) {
    co_return fail(Code::kDataLoss, "replica '" + replica->name() +
                                        "' received content with SHA-256 " +
                                        hex(response.sha256()) + " instead of " +
                                        hex(header.sha256()) + "; import the image again");
  }
  engine_.events().publish(
      "replica", "import", replica->uuid().text(),
      {{"name", replica->name()}, {"bytes", std::to_string(header.size_bytes())}});
  co_return response;
}

// An export that nobody reads keeps its chunks in memory for as long as the client likes.
core::Task<Result<void>> ImageService::export_image(rpc::Call& call,
                                                    const ExportImageRequest& request,
                                                    rpc::Sink<ExportImageResponse> sink) {
  if (exports_ >= limits::kImageExportsInFlight) {
    co_return fail_until(Code::kResourceExhausted,
                         "the node already sends " + std::to_string(exports_) +
                             " images; repeat the call later or end others",
                         core::kSecond);
  }
  ++exports_;
  auto sent = co_await send_image(call, request, sink);
  --exports_;
  co_return sent;
}

core::Task<Result<void>> ImageService::send_image(rpc::Call& call,
                                                  const ExportImageRequest& request,
                                                  rpc::Sink<ExportImageResponse> sink) {
  CO_TRY_SET(const auto replica, find(request.replica()));
  CO_TRY_SET(const std::uint64_t end, end_of(request, replica->size_bytes()));
  ImageReader reader(replica, request.offset(), end);
  ExportImageResponse message;
  message.mutable_header()->set_replica(replica->uuid().text());
  message.mutable_header()->set_size_bytes(end - request.offset());
  CO_TRY_SET(const std::uint64_t allocated, co_await reader.allocated_bytes());
  message.mutable_header()->set_allocated_bytes(allocated);
  CO_TRY(co_await sink.send(message));
  std::uint64_t data_bytes = 0;
  while (true) {
    CO_TRY(call.token.check());
    CO_TRY_SET(const auto piece, co_await reader.next());
    if (!piece) break;
    auto* extent = message.mutable_data();
    extent->set_offset(piece->offset);
    extent->set_data(piece->data.data(), piece->data.size());
    data_bytes += piece->data.size();
    CO_TRY(co_await sink.send(message));
  }
  message.mutable_trailer()->set_data_bytes(data_bytes);
  message.mutable_trailer()->set_sha256(reader.sha256());
  co_return co_await sink.send(message);
}

Result<void> bind_image(rpc::Directory& directory, ImageService& service) {
  TRY(directory.declare(node::v1::Extent::descriptor()->file()->FindServiceByName("ImageRpc")));
  TRY(rpc::bind_client_stream(directory, "capstan.node.v1.ImageRpc/ImportImage", service,
                              &ImageService::import_image));
  return rpc::bind_server_stream(directory, "capstan.node.v1.ImageRpc/ExportImage", service,
                                 &ImageService::export_image);
}

}  // namespace capstan::services
