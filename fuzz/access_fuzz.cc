// Why this file exists: access lists, matchers, keys and tokens under any bytes. What parses must
// print to what parses to the same, and a token that no key has signed is never taken.
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "base/bytes.h"
#include "rpc/acl.h"
#include "rpc/interceptors/access.h"
#include "rpc/interceptors/rate_limit.h"
#include "rpc/jwt.h"
#include "rpc/span.h"

namespace {

using namespace capstan;
using namespace capstan::rpc;

// A public key whose private half nobody has kept (P-256, made for this file).
constexpr std::string_view kKey =
    R"({"kty":"EC","crv":"P-256","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",)"
    R"("y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(ByteView(data, size));
  if (const auto matcher = AclMatcher::parse(text)) {
    const auto again = AclMatcher::parse(matcher->text());
    CAPSTAN_ASSERT(again && *again == *matcher);
  }
  if (const auto table = AclTable::parse(text)) {
    const auto again = AclTable::parse(table->json());
    CAPSTAN_ASSERT(again && *again == *table);
  }
  (void)AclTable::entry_for(text, {}).has_value();
  (void)AccessRule::parse_list(text).has_value();
  (void)Rate::parse(text).has_value();
  if (const auto context = TraceContext::parse(text)) {
    CAPSTAN_ASSERT(TraceContext::parse(context->text())->trace == context->trace);
  }
  (void)JwkSet::parse(text).has_value();
  static const JwkSet keys = JwkSet::parse(kKey).value();
  CAPSTAN_ASSERT(!keys.verify(text, 0));
  return 0;
}
