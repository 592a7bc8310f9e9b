// Why this file exists: JSON comes from anybody. The reader must end every text with a message or
// an error, and what it accepts must survive writing and reading again unchanged. The first byte
// picks the message type and the style.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "node/image.pb.h"
#include "node/node.pb.h"
#include "rpc/json_reader.h"
#include "rpc/json_writer.h"
#include "rpc/options.pb.h"

namespace {

using capstan::rpc::JsonReadOptions;
using capstan::rpc::JsonStyle;

template <class Message>
void read_write_read(std::string_view text, const JsonStyle& style) {
  capstan::rpc::JsonReader reader;
  JsonReadOptions options;
  options.bytes = style.bytes;
  Message first;
  if (!reader.read(text, first, options)) return;
  std::string written;
  CAPSTAN_ASSERT(capstan::rpc::write_json(first, style, written).has_value());
  Message second;
  CAPSTAN_ASSERT(reader.read(written, second, options).has_value());
  std::string again;
  CAPSTAN_ASSERT(capstan::rpc::write_json(second, style, again).has_value());
  CAPSTAN_ASSERT(written == again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const JsonStyle styles[] = {JsonStyle::canonical(), JsonStyle::octez(), JsonStyle::spdk(),
                              JsonStyle::v0()};
  const JsonStyle& style = styles[data[0] & 3];
  switch (data[0] >> 2 & 3) {
    case 0: read_write_read<capstan::node::v1::Event>(text, style); break;
    case 1: read_write_read<capstan::node::v1::ImportImageRequest>(text, style); break;
    case 2: read_write_read<capstan::node::v1::DescribeOperationsResponse>(text, style); break;
    default: read_write_read<capstan::rpc::OperationOptions>(text, style); break;
  }
  return 0;
}
