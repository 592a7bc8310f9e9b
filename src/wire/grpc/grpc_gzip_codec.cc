// Why this file exists: gzip of single messages with zlib. Output is bounded on the way in, because
// a kilobyte of gzip can stand for a megabyte, and input that is not gzip is an ordinary error.
#include <zlib.h>

#include <algorithm>

#include "wire/grpc/grpc_codec.h"

namespace capstan::wire {

namespace {

constexpr int kGzipWindow = 15 + 16;  // zlib: maximal window, gzip wrapper
constexpr std::size_t kGrowBytes = 16U << 10;

struct Inflater {
  z_stream stream{};
  bool ready = inflateInit2(&stream, kGzipWindow) == Z_OK;
  Inflater() = default;
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() {
    if (ready) inflateEnd(&stream);
  }
};

struct Deflater {
  z_stream stream{};
  bool ready =
      deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK;
  Deflater() = default;
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater() {
    if (ready) deflateEnd(&stream);
  }
};

}  // namespace

Result<std::string> grpc_gunzip(ByteView compressed, std::size_t max_bytes) {
  Inflater inflater;
  if (!inflater.ready) return fail(Code::kResourceExhausted, "no memory to decompress a message");
  auto& stream = inflater.stream;
  stream.next_in = const_cast<Bytef*>(compressed.data());  // zlib only reads
  stream.avail_in = static_cast<uInt>(compressed.size());
  std::string out;
  while (true) {
    const std::size_t used = out.size();
    // One byte more than allowed tells "exactly at the limit" from "beyond it".
    const std::size_t room = std::min(std::max(used, kGrowBytes), max_bytes + 1 - used);
    out.resize(used + room);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(room);
    const int rc = inflate(&stream, Z_NO_FLUSH);
    out.resize(used + room - stream.avail_out);
    if (out.size() > max_bytes) {
      return fail(Code::kResourceExhausted, "compressed message is larger than the limit of " +
                                                std::to_string(max_bytes) + " bytes");
    }
    if (rc == Z_STREAM_END) break;
    if (rc != Z_OK || (stream.avail_in == 0 && stream.avail_out != 0)) {
      return fail(Code::kInternal, "compressed message is not complete gzip");
    }
  }
  if (stream.avail_in != 0) {
    return fail(Code::kInternal, "compressed message has bytes after its gzip data");
  }
  return out;
}

std::optional<std::string> grpc_gzip(ByteView plain) {
  Deflater deflater;
  if (!deflater.ready) return std::nullopt;
  auto& stream = deflater.stream;
  std::string out(plain.size(), '\0');  // anything longer is not worth sending
  stream.next_in = const_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) return std::nullopt;
  out.resize(out.size() - stream.avail_out);
  return out;
}

}  // namespace capstan::wire
