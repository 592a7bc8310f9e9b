// Why this file exists: BSON comes from anybody. What is read becomes JSON that is valid and, made
// BSON again, reads as the same JSON; JSON that is made BSON reads back.
#include <simdjson.h>

#include <cstdint>
#include <string>

#include "base/assert.h"
#include "rpc/bson_codec.h"

namespace {

using namespace capstan;
using namespace capstan::rpc;

// What a value stands for at the top cannot be read from its bytes.
BsonTop top_of(const std::string& json) {
  return json.starts_with('[') ? BsonTop::kArray : BsonTop::kObject;
}

void again(const std::string& json) {
  std::string bson, second;
  CAPSTAN_ASSERT(json_to_bson(json, bson).has_value());
  CAPSTAN_ASSERT(bson_to_json(as_bytes(bson), top_of(json), second).has_value());
  std::string twice;
  CAPSTAN_ASSERT(json_to_bson(second, twice).has_value());
  CAPSTAN_ASSERT(bson == twice);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest(data + 1, size - 1);
  std::string out;
  if (data[0] % 4 == 3) {
    if (!json_to_bson(as_text(rest), out)) return 0;
    std::string json;
    const BsonTop top = out.size() > 4 && as_text(rest).find('[') < as_text(rest).find('{')
                            ? BsonTop::kArray
                            : BsonTop::kObject;
    CAPSTAN_ASSERT(bson_to_json(as_bytes(out), top, json).has_value());
    return 0;
  }
  if (bson_to_json(rest, static_cast<BsonTop>(data[0] % 4), out)) again(out);
  return 0;
}
