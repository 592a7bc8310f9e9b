// Why this file exists: see method_table.h.
#include "wire/muxio/method_table.h"

#include <utility>

#include "rpc/options.pb.h"
#include "wire/muxio/muxio_codec.h"

namespace capstan::wire::muxio {

Result<void> MethodTable::add(std::string_view name, Method method) {
  const std::string full_name = method.entry->operation.full_name();
  const auto [position, added] = methods_.emplace(method_id(name), std::move(method));
  if (added) return {};
  return fail(Code::kInternal, "Muxio: the names of " + full_name + " and " +
                                   position->second.entry->operation.full_name() +
                                   " have one method id; rename one of them");
}

Result<MethodTable> MethodTable::make(const rpc::Directory& directory) {
  MethodTable table;
  for (const auto* operation : directory.operations()) {
    const auto* entry = directory.find(operation->full_name());
    TRY(table.add(operation->full_name(), {entry, {}}));
    if (operation->muxio_name.empty()) continue;
    const auto& options = operation->method().options().GetExtension(rpc::operation).muxio();
    Method method{entry, {}};
    if (options.codec() == "bitcode") {
      TRY_SET(method.bitcode, BitcodeBinding::make(*operation));
    } else if (!options.codec().empty() && options.codec() != "proto") {
      return fail(Code::kInternal, "operation " + operation->full_name() + ": Muxio codec '" +
                                       options.codec() + "' is not bitcode or proto");
    }
    TRY(table.add(operation->muxio_name, std::move(method)));
  }
  return table;
}

}  // namespace capstan::wire::muxio
