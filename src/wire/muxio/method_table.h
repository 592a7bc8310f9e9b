// Why this file exists: method ids to operations. Every served operation has the id of its full
// name ("capstan.node.v1.NodeRpc/GetVersion") with protobuf payloads; those whose declaration names
// a Muxio method have the id of that name as well, with the codec it asks for.
// Thread-safety: immutable once made; shared by all connections.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "rpc/directory.h"
#include "wire/muxio/bitcode_binding.h"

namespace capstan::wire::muxio {

struct Method {
  const rpc::Directory::Entry* entry = nullptr;
  std::optional<BitcodeBinding> bitcode;  // else protobuf
};

class MethodTable {
 public:
  // Fails when two names have one id or a declared codec cannot be had: a mistake in the build. The
  // directory is complete and outlives the table.
  static Result<MethodTable> make(const rpc::Directory& directory);
  const Method* find(std::uint64_t id) const {
    const auto position = methods_.find(id);
    return position == methods_.end() ? nullptr : &position->second;
  }
  std::size_t size() const { return methods_.size(); }

 private:
  Result<void> add(std::string_view name, Method method);
  std::unordered_map<std::uint64_t, Method> methods_;
};

}  // namespace capstan::wire::muxio
