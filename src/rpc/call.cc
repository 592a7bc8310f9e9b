// Why this file exists: the one lookup that metadata offers; everything else of a Call is data.
#include "rpc/call.h"

namespace capstan::rpc {

std::string_view Metadata::get(std::string_view key) const {
  for (const auto& [name, value] : request) {
    if (name == key) return value;
  }
  return {};
}

}  // namespace capstan::rpc
